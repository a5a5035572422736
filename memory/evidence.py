"""Is a claim borne out by a text, and where? Code decides, so that no model vouches for itself.

A claim holds where the text says the same words, and no denial stands before them; or where one to three of
its lines hold each number, path and name of the claim, most of its other words, and deny something where it
does. That is no proof of meaning: it keeps out what was made up, not what was misread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from memory.words import UNSPACED, analyse

COVERED: Final = 0.75
"""Of a claim's words, how many a place has to hold."""
LINES: Final = 3
"""A sentence may run over so many lines."""
_LEAST_WORD: Final = 4
"""Letters of a word by which lines are chosen to be looked at."""

_ANCHORS: Final = re.compile(
    r"`(?P<code>[^`\n]{1,200})`"
    r"|\"(?P<quoted>[^\"\n]{1,200})\""
    r"|(?P<path>[\w.{}<>:-]*/[\w./{}<>:-]+|\w+\.\w{1,5}\b(?<!\.))"
    r"|(?P<number>(?:(?<![\w.,:])[-\u2212])?\d+(?:[.,:]\d+)*)"
)
_IN_NUMBERS: Final = (".", ",", ":")
_MINUS: Final = ("-", "\u2212")
_WITHOUT_SPACES: Final = re.compile(f"[{UNSPACED}]")
_CUT: Final = re.compile(
    r"[.!?;]\s|\n\s*\n|\n\s*(?:[-*#>|]|\d+[.)])|,\s+(?:and|but|so|en|maar|dus|und|aber)\b", re.IGNORECASE
)
"""Where what stands before is another sentence, another point, or another part of it."""
_BACK: Final = 400
"""Characters before a claim in which a denial of it may stand."""
_WRAPPED: Final = 50
"""Characters of a line that may go on in the next; shorter ones are points, or lines of an output."""
_DENIALS: Final = re.compile(
    r"\b(?:not|no|never|none|nothing|neither|nor|without|cannot|niet|geen|nooit|niets|zonder|nicht|kein\w*|nie"
    r"|ne|pas|jamais|sin|nunca)\b|n['\u2019]t\b|ไม่",
    re.IGNORECASE,
)


def denies(text: str) -> bool:
    """Whether a text denies something."""
    return _DENIALS.search(text) is not None


@dataclass(frozen=True, slots=True)
class Text:
    """Something that was really there: a file of the stage, or what a tool showed."""

    text: str
    path: str | None = None
    """Of a file; None for anything else."""


@dataclass(frozen=True, slots=True)
class Support:
    """The place that bears a claim out."""

    path: str | None
    line: int
    """From 1."""
    start: int
    end: int


def locate(claim: str, texts: Sequence[Text]) -> Support | None:
    """Where the claim is borne out: in the first text that says it, else in the one that says it best."""
    words = claim.split()
    if not words or not texts:
        return None
    if found := literally(claim, texts):
        return found
    wanted = _Wanted.of(claim)
    best: tuple[float, Support] | None = None
    for text in texts:
        for score, start, end in _places(wanted, text.text):
            if best is None or score > best[0]:
                best = score, _support(text, start, end)
    return best[1] if best else None


def literally(claim: str, texts: Sequence[Text]) -> Support | None:
    """Where the first text says the claim in these words, whatever space is between them."""
    words = claim.split()
    if not words:
        return None
    # To compile an expression takes a millisecond: only for a text that has the longest of the words.
    longest, denying = max(words, key=len).casefold(), denies(claim)
    for text in texts:
        if longest not in text.text.casefold():
            continue
        said, start = re.compile(r"\s+".join(map(re.escape, words)), re.IGNORECASE), 0
        while found := said.search(text.text, start):
            start, end = found.span()
            if _apart(text.text, start, end) and (denying or not _denied(text.text, start)):
                return _support(text, start, end)
            start += 1
    return None


@dataclass(frozen=True, slots=True)
class _Wanted:
    anchors: tuple[str, ...]
    terms: frozenset[int]
    probes: tuple[str, ...]
    denies: bool

    @classmethod
    def of(cls, claim: str) -> _Wanted:
        anchors = [next(group for group in found.groups() if group) for found in _ANCHORS.finditer(claim)]
        long = sorted(re.findall(r"[^\W_]+", claim.casefold()), key=len, reverse=True)
        probes = tuple(word for word in long[:6] if len(word) >= _LEAST_WORD) or tuple(long[:3])
        return cls(
            tuple(anchor.casefold() for anchor in anchors),
            frozenset(analyse(claim).impacts),
            probes,
            denies(claim),
        )

    def score(self, place: str) -> float:
        """How much of the claim a place holds; 0 where it does not bear it out."""
        folded = place.casefold()
        if not all(_holds(folded, anchor) for anchor in self.anchors):
            return 0.0
        if denies(place) != self.denies:
            return 0.0
        covered = len(self.terms & analyse(place).impacts.keys()) / len(self.terms) if self.terms else 0.0
        return covered if covered >= COVERED else 0.0


def _holds(folded: str, anchor: str) -> bool:
    start = folded.find(anchor)
    while start >= 0:
        if _apart(folded, start, start + len(anchor)):
            return True
        start = folded.find(anchor, start + 1)
    return False


def _apart(text: str, start: int, end: int) -> bool:
    """Whether what stands there begins and ends where words and numbers do.

    /loan is not in /loans, and 7 in none of 78, 7.5 and -7. Where no space tells words apart, they begin and
    end anywhere.
    """
    # Not by an expression: with the ranges of all those scripts in it, it takes 15 ms to compile.
    first, last, before, after = text[start], text[end - 1], text[:start][-2:], text[end : end + 2]
    if first.isdigit() and _goes_into(before):
        return False
    if last.isdigit() and after[:1] in _IN_NUMBERS and after[1:].isdigit():
        return False
    return (_is_unspaced(first) or not _is_letter(before[-1:])) and (
        _is_unspaced(last) or not _is_letter(after[:1])
    )


def _goes_into(before: str) -> bool:
    """Whether a digit after these two characters goes on with a number, or stands after its minus."""
    if before[-1:] in _MINUS:
        return not _is_word(before[:-1])
    return before[-1:] in _IN_NUMBERS and before[:-1].isdigit()


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _is_letter(char: str) -> bool:
    return _is_word(char) and not _is_unspaced(char)


def _is_unspaced(char: str) -> bool:
    return not char.isascii() and _WITHOUT_SPACES.match(char) is not None


def _denied(text: str, start: int) -> bool:
    """Whether a denial stands before what is said, in the same sentence."""
    line = text.rfind("\n", 0, start) + 1
    above = text.rfind("\n", 0, max(0, line - 1)) + 1
    before = text[above if line - above > _WRAPPED else line : start]
    return denies(_CUT.split(before[-_BACK:])[-1])


def _places(wanted: _Wanted, text: str) -> Iterator[tuple[float, int, int]]:
    """The places of one to `LINES` lines that bear the claim out, with how much of it they hold."""
    lines = _lines(text)
    for number, (start, end) in enumerate(lines):
        line = text[start:end].casefold()
        if not any(probe in line for probe in wanted.probes):
            continue
        for more in range(LINES):
            if number + more >= len(lines):
                break
            last = lines[number + more][1]
            if (score := wanted.score(text[start:last])) and (wanted.denies or not _denied(text, start)):
                yield score - more / 100, start, last
                break


def _lines(text: str) -> list[tuple[int, int]]:
    """Where each line starts and ends."""
    ends = [found.start() for found in re.finditer("\n", text)] + [len(text)]
    starts = [0, *(end + 1 for end in ends[:-1])]
    return list(zip(starts, ends, strict=True))


def _support(text: Text, start: int, end: int) -> Support:
    return Support(text.path, text.text.count("\n", 0, start) + 1, start, end)
