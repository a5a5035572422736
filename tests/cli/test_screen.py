"""Text of strangers on a person's terminal, and numbers as people read them."""

import io
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cli import screen
from cli.screen import Screen, clean, look, one_line


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]52;c;cm0gLXJm\x1b\\text", "text"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone", "gone"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("back\x08space\x07 bell\x00", "backspace bell"),
        ("over\rwritten", "overwritten"),
        ("\u202egnp.exe", "gnp.exe"),
        ("\x1b", ""),
        ("two\r\nlines\n\tkept", "two\nlines\n\tkept"),
        ("\udce9", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_terminal_escapes_are_taken_out(hostile: str, harmless: str) -> None:
    assert clean(hostile) == harmless


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    left = clean(text)
    assert not [character for character in left if ord(character) < 32 and character not in "\n\t"]
    assert not [character for character in left if 0x7F <= ord(character) < 0xA0]
    left.encode()


@given(st.text(), st.integers(min_value=2, max_value=50))
def test_one_line_is_one_line_and_no_longer(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert "\n" not in line


def test_markup_in_a_models_text_is_shown_as_it_is() -> None:
    out = Console(file=io.StringIO(), markup=False, highlight=False, emoji=False)
    Screen(out=out).say("[red]not red[/red] [/] :boom:")
    assert out.file.getvalue() == "[red]not red[/red] [/] :boom:\n"  # type: ignore[attr-defined]


def test_a_long_line_is_not_broken_so_that_it_can_be_copied() -> None:
    out = Console(file=io.StringIO(), width=40, markup=False)
    Screen(out=out).say("factory answer " + "x" * 200)
    assert out.file.getvalue().count("\n") == 1  # type: ignore[attr-defined]


def test_a_command_in_prose_is_not_broken_and_the_prose_around_it_is() -> None:
    out = Console(file=io.StringIO(), width=40, force_terminal=True, color_system=None)
    command = f"  git -C '/home/jan/{'x' * 60}/re pository' log"
    Screen(out=out).read(f"{'word ' * 20}\n{command}\n  factory diff run-{'0' * 26} --whole\nor not")
    lines = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[-3:] == [command, f"  factory diff run-{'0' * 26} --whole", "or not"]
    assert len(lines) == 6
    assert all(len(line) <= 40 for line in lines[:3])


def test_every_state_has_a_word_and_not_only_a_colour() -> None:
    for state in (
        "waiting",
        "running",
        "asking",
        "done",
        "skipped",
        "failed",
        "awaiting_input",
        "completed",
        "pass",
    ):
        assert look(state).word
        assert look(state).icon
    icons = [shown.icon for shown in screen.STAGE_LOOKS.values()]
    assert len(set(icons)) == len(icons)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.04, "0.0 s"), (9.5, "9.5 s"), (59.4, "59 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_durations(value: float, text: str) -> None:
    assert screen.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "$0"), (Decimal("0.00012"), "$0.0001"), ("0.5", "$0.5000"), (1234.5, "$1,234.50"), (None, "")],
)
def test_amounts(value: Decimal | float | str | None, text: str) -> None:
    assert screen.cost(value) == text


def test_a_result_is_one_json_object_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Screen(as_json=True)
    shown.note("beside it")
    shown.result({"word": "größer", "escape": "\x1b[31m"})
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"word": "größer", "escape": "\x1b[31m"}
    assert "\x1b" not in captured.out
    assert captured.err == "beside it\n"


def test_an_id_in_a_table_is_whole_at_any_width() -> None:
    shown = screen.table("id", "what")
    identity = "dlv-01m7z9q6bwxdydknkea4tjsb6p"
    shown.add_row(identity, "a long line of words that must be folded " * 3)
    written = io.StringIO()
    Console(file=written, width=60).print(shown)
    assert identity in written.getvalue()
