"""What the rules and the model found worth keeping of a stage's work, before it goes to memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from memory.extraction.claims import Claim


@dataclass(slots=True)
class Gathered:
    """What a stage left, and what of it was left out."""

    claims: list[Claim] = field(default_factory=list[Claim])
    unsupported: int = 0
    echoes: int = 0
    masked: int = 0
    left_out: int = 0
    """Claims beyond those that are kept of one stage."""
    model: str = ""
    """How the model's reading went: a number of claims, or why there is none. Empty where none was asked."""
