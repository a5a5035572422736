"""Is a claim only the echo of what was recalled? Then it is nothing new, and no evidence of anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from memory.evidence import Text, denies, literally
from memory.records import shown
from memory.words import analyse, values

MARK: Final = re.compile(r"\[m\d+(?:\.\d+)?\]")
"""How recalled text is marked wherever a model reads it: with the id of its memory."""
_SHARED: Final = 0.9
"""Of the words of a memory, how many a claim repeats that is its echo."""
_OWN: Final = 0.3
"""Of the words of a claim that is an echo, how many may be its own."""
_LEAST: Final = 3
"""Words that a memory must have, so that a longer claim can be its echo: two words are in many claims."""


def mark(memory: int) -> str:
    """The mark of a memory."""
    return f"[m{shown(memory)}]"


@dataclass(frozen=True, slots=True)
class _Told:
    """A memory that a stage was told, and the claims that may be its echoes."""

    text: str
    words: frozenset[int]

    @classmethod
    def of(cls, text: str) -> _Told:
        return cls(text, frozenset(analyse(text).impacts))

    def is_in(self, claim: _Told) -> bool:
        """Whether the claim says this and little else."""
        if len(self.words) < _LEAST:
            return bool(self.words) and self.words == claim.words
        same = len(self.words & claim.words)
        return same >= _SHARED * len(self.words) and same >= (1 - _OWN) * len(claim.words)

    def is_contradicted_by(self, claim: _Told) -> bool:
        """Whether the claim denies this, or has another number in the place of one."""
        if denies(self.text) != denies(claim.text):
            return True
        mine, theirs = values(self.text), values(claim.text)
        return bool(mine - theirs and theirs - mine)


class Echoes:
    """What a stage was told from memory."""

    def __init__(self, recalled: Iterable[str]) -> None:
        self._told = [_Told.of(text) for text in recalled]

    def holds(self, claim: str, texts: Sequence[Text] = ()) -> bool:
        """Whether the claim bears a memory's mark, or says what a memory said and little else.

        What contradicts a memory is news, and so is what these `texts` bear out where they say no more what
        the memory said.
        """
        if MARK.search(claim):
            return True
        said = _Told.of(claim)
        return any(
            told.is_in(said) and not told.is_contradicted_by(said) and not _is_corrected(told, said, texts)
            for told in self._told
        )


def _is_corrected(told: _Told, said: _Told, texts: Sequence[Text]) -> bool:
    """Whether the work says the one with another word in the place of one, and the other nowhere."""
    if not (told.words - said.words and said.words - told.words) or literally(told.text, texts):
        return False
    return literally(said.text, texts) is not None
