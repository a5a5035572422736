"""A claim: something that may be kept, before it is."""

from __future__ import annotations

from dataclasses import dataclass

from memory.records import Kind


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
