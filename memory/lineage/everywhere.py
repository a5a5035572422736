"""Everywhere that a memory's text may stand outside of its bank, for forgetting it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from memory.audit.forgetting import Forgotten, forget_phrase
from memory.audit.phrases import LONGEST
from memory.lineage.forgetting import Elsewhere, Forgetting
from memory.mental_models.forgetting import take_out
from memory.service import Memories
from memory.words import analyse

_LEAST_WORDS: Final = 3
"""Words of a text that is cut out of the audit: a shorter one stands in many that mean something else."""


@dataclass
class Audit:
    """Takes a memory's text out of the texts that the audit keeps, and says what became of it."""

    done: Forgotten = field(default_factory=Forgotten)
    short: list[str] = field(default_factory=list[str])
    """Texts that were left in the audit because they are too short to be meant wherever they stand."""

    async def __call__(self, memories: Memories, forgetting: Forgetting) -> None:
        for text in forgetting.texts:
            pieces = meant(text)
            if not pieces:
                self.short.append(text)
            for piece in pieces:
                found = await forget_phrase(memories.db, piece, why=forgetting.why, by=forgetting.by)
                self.done.cuts += found.cuts
                self.done.kept += found.kept


def everywhere(audit: Audit) -> tuple[Elsewhere, ...]:
    """All places, for `forget(elsewhere=…)`."""
    return (take_out, audit)


def meant(text: str) -> list[str]:
    """A text in pieces that can be looked for; none where it is too short to be meant wherever it stands."""
    if analyse(text).length < _LEAST_WORDS:
        return []
    return [piece for piece in _pieces(text) if analyse(piece).length]


def _pieces(text: str) -> list[str]:
    """A text in pieces that can be looked for, broken between words."""
    pieces: list[str] = []
    left = text
    while len(left) > LONGEST:
        end = left.rfind(" ", 1, LONGEST)
        end = end if end > 0 else LONGEST
        pieces.append(left[:end])
        left = left[end:]
    return [*pieces, left]
