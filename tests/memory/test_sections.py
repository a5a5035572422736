"""A brief's sections are cut in whole lines, to their shares, and say what was left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memory.sections import Section, fitted, size

LINES = st.lists(st.text(max_size=60).map(lambda line: line.replace("\n", " ")), min_size=1, max_size=20)


@st.composite
def sections_of(draw: st.DrawFn) -> list[Section]:
    texts = draw(st.lists(LINES, max_size=5))
    return [Section("\n".join(lines), "look", draw(st.booleans())) for lines in texts]


@given(sections_of(), st.integers(0, 3_000))
def test_sections_fit_their_room_in_whole_lines_and_in_order(sections: list[Section], room: int) -> None:
    found = fitted(sections, room)
    assert sum(size(text) for text in found if text) <= room
    for section, text in zip(sections, found, strict=True):
        if text == section.text:
            continue
        left = iter(section.text.split("\n"))
        assert all(line in left for line in text.split("\n") if text and "left out here" not in line)
    if sum(size(section.text) for section in sections) <= room:
        assert found == [section.text for section in sections]


def test_what_takes_little_leaves_its_share_to_the_others() -> None:
    small, large = Section("# Small\nx", "ask"), Section("# Large\n" + "y" * 50 + "\n" + "z" * 900, "look")
    first, second = fitted([small, large], 150)
    assert first == small.text
    assert second == "# Large\n" + "y" * 50 + "\n… 1 lines are left out here: look"


def test_of_a_history_the_newest_lines_stay() -> None:
    history = Section("# So far\n" + "\n".join(f"line {number}" for number in range(50)), "git", True)
    [text] = fitted([history], 120)
    assert text.splitlines()[0] == "# So far"
    assert "lines are left out here: git" in text.splitlines()[1]
    assert text.endswith("line 48\nline 49")
