"""Text from outside is bounded and cannot play with a terminal."""

import pytest

from teams.output import clean, shortened, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq...\x1b\\x", "x"),
        ("\x1b(Bx\x1bcy", "xy"),
        ("\x9b31mred", "red"),
        ("10%\r50%\r100%\n", "100%\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("a\x00\x07\x08b", "ab"),
        ("tab\tkept\n", "tab\tkept\n"),
        ("left \u202eright", "left right"),
        ("half \ud800", "half "),
        ("Grüße ✓", "Grüße ✓"),
    ],
)
def test_escapes_and_controls_are_taken_out(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_a_long_text_keeps_its_head_and_its_end() -> None:
    text = shortened("HEAD" + "x" * 5_000 + "TAIL", 100)
    assert text.startswith("HEAD")
    assert text.endswith("TAIL")
    assert "4908 characters left out" in text
    assert shortened("short", 100) == "short"


def test_a_huge_output_is_cheap() -> None:
    assert len(shown("\x1b[31mx" * 10_000_000)) < 13_000
