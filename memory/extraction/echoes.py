"""Is a claim only the echo of what was recalled? Then it is nothing new, and no evidence of anything."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from memory.records import shown
from memory.words import analyse

MARK: Final = re.compile(r"\[m\d+(?:\.\d+)?\]")
"""How recalled text is marked wherever a model reads it: with the id of its memory."""
_SHARED: Final = 0.9
"""Of the words of a memory, how many a claim repeats that is its echo."""
_OWN: Final = 0.3
"""Of the words of a claim that is an echo, how many may be its own."""
_LEAST: Final = 3
"""Words that a memory must have, so that a claim can be its echo: two words are in many claims."""


def mark(memory: int) -> str:
    """The mark of a memory."""
    return f"[m{shown(memory)}]"


class Echoes:
    """What a stage was told from memory."""

    def __init__(self, recalled: Iterable[str]) -> None:
        self._known = [frozenset(analyse(text).impacts) for text in recalled]

    def holds(self, claim: str) -> bool:
        """Whether the claim bears a memory's mark, or says what a memory said and little else."""
        if MARK.search(claim):
            return True
        words = frozenset(analyse(claim).impacts)
        return any(
            len(known) >= _LEAST
            and len(words & known) >= _SHARED * len(known)
            and len(words & known) >= (1 - _OWN) * len(words)
            for known in self._known
        )
