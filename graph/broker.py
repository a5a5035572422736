"""The clarification broker's rules: may this team ask that team now?

Pure; `graph/clarification.py` acts on it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

PERSON: Final = "person"
"""The target that is no team: a question to it becomes a row in `approvals`."""


@dataclass(frozen=True, slots=True)
class Request:
    """A question on its way to another team."""

    asker: str
    target: str
    question: str
    chain: tuple[str, ...]
    """Who waits for this answer, first asker first, the asker itself last."""
    asked: int
    """Questions that the first asker's objective has already put."""
    most: int
    """Questions that an objective may put."""
    depth: int
    """Hops that a question may take: 1 lets a team ask, 2 lets the asked one ask in turn."""


def refusal(request: Request, teams: Collection[str]) -> str:
    """Why the broker refuses, in words for the asker; empty when it lets the question through."""
    if not request.question.strip():
        return "the question is empty: say what you need to know and what you would assume otherwise"
    if request.target == request.asker:
        return "a team cannot ask itself: decide, and name the decision as an assumption"
    if request.target != PERSON and request.target not in teams:
        return f"there is no team {request.target!r}; ask one of: {', '.join(sorted(teams))}, or {PERSON}"
    if request.target in request.chain:
        waiting = " → ".join(request.chain)
        return f"{request.target} already waits for this answer ({waiting}): asking it would go in a circle"
    if len(request.chain) > request.depth:
        return f"the question has taken {request.depth} hops, the most allowed: answer from what you know"
    if request.asked >= request.most:
        return (
            f"{request.most} questions were put, the most for one objective: decide, and name the assumption"
        )
    return ""
