"""What a line that a person types means, by what may be decided."""

import pytest

from cli.person import Said, choices, understand

YES_NO = ("approve", "reject")
WORDS = ("respond",)
REVIEW = ("approve", "edit", "reject")
ALL = ("approve", "reject", "respond")


@pytest.mark.parametrize(
    ("line", "allowed", "default", "means"),
    [
        ("approve", YES_NO, None, Said("approve", None)),
        (" Y ", YES_NO, None, Said("approve", None)),
        ("no", YES_NO, None, Said("reject", None)),
        ("reject: too broad", YES_NO, None, Said("reject", "too broad")),
        ("reject too broad", YES_NO, None, Said("reject", "too broad")),
        ("maybe", YES_NO, None, None),
        ("", YES_NO, None, None),
        ("", YES_NO, "approve", Said("approve", None)),
        ("", WORDS, "SQLite", Said("respond", "SQLite")),
        ("", WORDS, None, None),
        ("no", WORDS, None, Said("respond", "no")),
        ("approve: all of it", WORDS, None, Said("respond", "approve: all of it")),
        ("http://host: use that", ALL, None, Said("respond", "http://host: use that")),
        ("yes but only for members", ALL, None, Said("respond", "yes but only for members")),
        ("yes", ALL, None, Said("approve", None)),
        ("answer: two weeks", ALL, None, Said("respond", "two weeks")),
        ("respond", ALL, None, None),
        ("edit: shorter names", REVIEW, None, Said("edit", "shorter names")),
        ("shorter names please", REVIEW, None, Said("edit", "shorter names please")),
        ("edit", REVIEW, None, None),
        ("approve: well done", REVIEW, None, Said("approve", "well done")),
    ],
)
def test_a_line_means_what_its_words_say(
    line: str, allowed: tuple[str, ...], default: str | None, means: Said | None
) -> None:
    assert understand(line, allowed, default) == means  # type: ignore[arg-type]


def test_the_person_is_told_what_may_be_answered_and_what_enter_does() -> None:
    line = choices(("approve", "reject"), "approve")
    assert "approve" in line
    assert "Enter: approve" in line
    assert "Enter" not in choices(("approve", "reject"), None)
    assert "in your words" in choices(("respond",), "x")
