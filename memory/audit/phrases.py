"""A phrase as the audit looks for it: its words in order, in any case and script, whatever stands between.

What lies between two words in a text (spaces, line feeds, the asterisks of Markdown) makes no difference.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from core.errors import BadInput
from memory.words import LONGEST_WORD, MARKS, TOKEN, hashed

LONGEST: Final = 1000
"""Characters of a phrase."""
_BETWEEN: Final = 40
"""Characters that may stand between two words of a phrase, none of them part of a word."""
_LEAST_PLAIN: Final = 3
"""Letters of a word by which rows are looked for."""
_EXCERPT: Final = 70
"""Characters of a text that are shown on each side of what was found."""


Span = tuple[int, int]
"""The first character, and the one after the last."""


class PhraseUnusable(BadInput):
    """There is nothing in the phrase to look for."""


@dataclass(frozen=True)
class Found:
    """A place in a text where a phrase stands."""

    text: str
    """All of it, as it was written."""
    start: int
    """In characters of the folded text, as `end` is."""
    end: int
    line: int
    """Counted from 1."""

    @cached_property
    def span(self) -> Span:
        """The characters of the text that it stands in, or one more on each side."""
        return _unfolded(self.text, self.start, self.end)

    @property
    def excerpt(self) -> str:
        """What stands around it, on one line, as it was written."""
        return _around(self.text, *self.span)


def folded(text: str) -> str:
    """The text as it is compared: without what makes no difference in case and width."""
    if not text.isascii() and not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    return text.casefold()


def index_words(text: str) -> Iterator[int]:
    """Every word of a text, hashed; of scripts without spaces, every letter and every pair."""
    for token, spaced in _tokens(folded(text)):
        if spaced:
            yield hashed(token[:LONGEST_WORD])
        else:
            yield from (hashed(letter) for letter in set(token))
            yield from (hashed(token[start : start + 2]) for start in range(len(token) - 1))


@dataclass(frozen=True)
class Phrase:
    """Words to look for. Raises PhraseUnusable where there are none, or too many."""

    text: str

    def __post_init__(self) -> None:
        if len(self.text) > LONGEST:
            raise PhraseUnusable(
                f"The phrase has {len(self.text):,} characters; {LONGEST:,} fit", todo="Look for a part of it"
            )
        if not self._words:
            raise PhraseUnusable(
                f"There is no word in {self.text[:80]!r}", todo="Give a word or several, in any script"
            )

    @cached_property
    def _words(self) -> list[tuple[str, bool]]:
        return list(_tokens(folded(self.text)))

    @cached_property
    def words(self) -> list[int]:
        """What `index_words` gives of every text that holds the phrase."""
        return sorted(
            {
                hashed(piece)
                for token, spaced in self._words
                for piece in ([token[:LONGEST_WORD]] if spaced or len(token) == 1 else _pairs(token))
            }
        )

    @cached_property
    def plain_word(self) -> str:
        """A word that stands as it is, but for case, in every text with the phrase; empty where there is
        none."""
        plain = [word for word in self.text.split() if word.isascii() and word.isalnum()]
        return max((word for word in plain if len(word) >= _LEAST_PLAIN), key=len, default="")

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts: list[str] = []
        before: bool | None = None
        for token, spaced in self._words:
            if before is not None:
                # Two words with nothing between them would be another word.
                parts.append(rf"[\W_]{{{1 if before and spaced else 0},{_BETWEEN}}}")
            parts.append(re.escape(token))
            before = spaced
        first, last = self._words[0][1], self._words[-1][1]
        return re.compile(
            (r"(?<![^\W_])" if first else "") + "".join(parts) + (rf"(?![^\W_]|[{MARKS}])" if last else "")
        )

    def stands_in(self, text: str) -> Iterator[Found]:
        """Each place of the text where the phrase stands."""
        compared = folded(text)
        for found in self._pattern.finditer(compared):
            start, end = found.span()
            yield Found(text, start, end, compared.count("\n", 0, start) + 1)


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    """The words of a folded text, and whether spaces tell them from their neighbours."""
    for found in TOKEN.finditer(text):
        token = found[0]
        if found["word"]:
            yield token, True
        elif found["unspaced"] or unicodedata.category(token) == "So":  # an emoji is a word
            yield token, False


def _pairs(token: str) -> list[str]:
    return [token[start : start + 2] for start in range(len(token) - 1)]


def _around(text: str, start: int, end: int) -> str:
    first, last = max(0, start - _EXCERPT), min(len(text), max(end, start + 2 * _EXCERPT) + _EXCERPT)
    line = " ".join(text[first:last].split())
    return f"{'…' if first else ''}{line}{'…' if last < len(text) else ''}"


def _unfolded(text: str, start: int, end: int) -> Span:
    """The characters of `text` that a span of its folded form came from, or a few more."""
    if len(folded(text)) == len(text):
        return start, end
    # Rarely (ß, ligatures, letters with marks of their own) the folded text has another length.
    first, last = 0, len(text)
    low, high = 0, len(text)
    while low < high:  # the longest beginning that folds to no more than what stands before
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(folded(text[:middle])) <= start else (low, middle - 1)
    first = low
    low, high = first, len(text)
    while low < high:  # the shortest that folds to all of it
        middle = (low + high) // 2
        low, high = (low, middle) if len(folded(text[:middle])) >= end else (middle + 1, high)
    last = low
    # Letters that join with the next one when folded may be one off; a little more is taken then.
    return max(0, first - 1), min(len(text), last + 1)
