"""Fencing: who was overtaken while it stood still has no more effect.

Whoever drives a run, or a thread, holds it under an attempt, which rises each time that somebody takes it up.
What is done inside `entered` carries that attempt along; the database refuses what comes with an old one.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from core.errors import FactoryError


class Fenced(FactoryError):
    """Somebody else has taken up what this process worked on."""

    http_status = 409


@dataclass(frozen=True, slots=True)
class Fence:
    """Under what this process works on something."""

    subject: str
    """A run's id, or a thread's."""
    attempt: int
    generation: int = 0
    """Rises where the holder before may still be alive. Worktrees of different generations are different."""


_entered: ContextVar[Fence | None] = ContextVar("fence", default=None)


def current() -> Fence | None:
    """The fence inside which this is called; None where nothing is driven."""
    return _entered.get()


@contextmanager
def entered(fence: Fence) -> Generator[None]:
    """Inside, and in tasks begun inside, every effect is that of `fence`."""
    token = _entered.set(fence)
    try:
        yield
    finally:
        _entered.reset(token)
