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


class PhraseUnusable(BadInput):
    """There is nothing in the phrase to look for."""


@dataclass(frozen=True, slots=True)
class Found:
    """A place in a text where a phrase stands."""

    start: int
    end: int
    line: int
    """Counted from 1."""
    excerpt: str
    """What stands around it, on one line."""


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
        # Rarely (ß, ligatures) the folded text has another length; then its own words are shown.
        same = len(compared) == len(text)
        shown = text if same else compared
        for found in self._pattern.finditer(compared):
            start, end = found.span()
            yield Found(start, end, compared.count("\n", 0, start) + 1, _around(shown, start, end))


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
