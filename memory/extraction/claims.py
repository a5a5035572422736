"""A claim: something that may be kept, before it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from memory.records import Kind

LONGEST: Final = 2_000
"""Characters of a claim; what is longer is cut."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence that a stage's work says, and where."""

    text: str
    kind: Kind
    subject: str | None = None
    """As in a draft: what a later claim with the same one supersedes."""
    path: str | None = None
    """The file that says it; None where the stage's own result does."""
    line: int | None = None
    start: int = 0
    end: int = 0


def bounded(text: str) -> str:
    """A claim's text on one line, cut where it is too long."""
    plain = " ".join(text.split())
    return plain if len(plain) <= LONGEST else plain[: LONGEST - 1] + "…"
