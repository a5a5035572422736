"""A page: its lines, how it is written down, and what a person's edit makes of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import unified_diff
from typing import Final, Literal

from core.errors import BadInput
from memory.extraction.echoes import MARK, mark
from memory.records import unshown
from memory.screening import screen
from memory.words import clean, normalised, seen

FACTORY: Final = "factory"
"""Who wrote a line that no person did."""
LONGEST: Final = 4_000
"""Characters of a page, marks included: some 1,300 tokens, less than a tenth of the smallest window."""
LONGEST_LINE: Final = 400

Way = Literal["digest", "model", "person"]
"""How a version came about: by the rules alone, by a model's edits, by a person's."""

_MARKS: Final = re.compile(rf"(?:\s*{MARK.pattern})+\s*$")
_COMMENT: Final = re.compile(r"<!--.*-->")


class PageRefused(BadInput):
    """A page cannot be kept as it is."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that a team knows."""

    text: str
    """Empty once forgotten."""
    by: str = FACTORY
    """`factory`, or the person who wrote it: then no refresh takes it away."""
    sources: tuple[int, ...] = ()
    """Ids of the memories that say it."""
    forgotten: bool = False

    @property
    def written(self) -> str:
        """The line as it stands on the page, marked with the memories that it is from."""
        return " ".join([f"- {self.text}", *map(mark, self.sources)])


@dataclass(frozen=True, slots=True)
class Page:
    """A version of a team's mental model."""

    project: str
    team: str
    version: int = 0
    """From 1; 0 where there is no page yet."""
    at: datetime | None = None
    by: str = FACTORY
    way: Way = "digest"
    lines: tuple[Line, ...] = ()
    seen: int = 0
    """The number of the last memory that was looked at."""
    key: str = ""
    """Of the refresh or the edit that made this version."""
    withheld: int = 0
    """Lines of the version that are not among `lines`: what they were made of holds no more."""

    def __bool__(self) -> bool:
        return any(line.text for line in self.lines)

    @property
    def text(self) -> str:
        """The page in Markdown; empty where it says nothing."""
        return "\n".join(line.written for line in self.lines if line.text)


def plain(text: str) -> str:
    """A text on one line, without what is not shown."""
    return seen(clean(text))


def bounded(text: str) -> str:
    """A text as a line of a page may have it."""
    line = MARK.sub("", plain(text)).strip()
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1].rstrip() + "…"


def size(lines: Sequence[Line]) -> int:
    """Characters of a page of these lines."""
    return sum(len(line.written) + 1 for line in lines if line.text)


def same(text: str, lines: Sequence[Line]) -> bool:
    """Whether a line says this already."""
    return any(normalised(line.text) == normalised(text) for line in lines)


def edited(page: Page, text: str, by: str) -> tuple[Line, ...]:
    """The lines of a page as a person has left it: what they changed or added is theirs, with secrets and
    personal data masked.

    Raises PageRefused.
    """
    known = {line.written: line for line in page.lines if line.text}
    lines = tuple(_line(number, row, known, by) for number, row in _rows(text))
    if size(lines) > LONGEST:
        raise PageRefused(
            f"The page has {size(lines):,} characters, and the most is {LONGEST:,}",
            untouched="The page is as it was",
            todo="Take out what matters least; memories themselves have no such limit",
        )
    return lines


def _rows(text: str) -> list[tuple[int, str]]:
    """The rows that say something, with their numbers; a comment of Markdown says nothing."""
    rows = [(number, plain(row)) for number, row in enumerate(text.splitlines(), start=1)]
    return [
        (number, row) for number, row in rows if not _COMMENT.fullmatch(row) and row.removeprefix("-").strip()
    ]


def _line(number: int, row: str, known: dict[str, Line], by: str) -> Line:
    if row in known:
        return known[row]
    marks = _MARKS.search(row)
    found = [unshown(one[2:-1]) for one in MARK.findall(marks[0])] if marks else []
    sources = [one for one in found if one is not None]
    said = screen(_MARKS.sub("", row).removeprefix("-").strip()).text
    if not said or len(said) > LONGEST_LINE:
        why = f"has {len(said):,} characters, and the most is {LONGEST_LINE}" if said else "says nothing"
        todo = "Make two lines of it" if said else "Say what the memory means, or take the line away"
        raise PageRefused(f"Line {number} {why}", untouched="The page is as it was", todo=todo)
    return Line(said, by, tuple(sources))


def difference(old: Page, new: Page) -> list[str]:
    """What changed from one version to the next, as a unified diff."""
    before, after = ([line.written for line in page.lines if line.text] for page in (old, new))
    names = (f"version {old.version}", f"version {new.version}")
    return list(unified_diff(before, after, *names, lineterm="", n=1))
