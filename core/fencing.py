"""Fencing: who was overtaken while it stood still has no more effect.

Whoever drives a run, or a thread, holds it under an attempt, which rises each time that somebody takes it up.
What is done inside `entered` carries that attempt along. The database refuses what comes with an old one, in
the transaction that writes it: a trigger on each table of effects, checkpoints among them. Git asks a mark in
the home folder, which whoever takes something up sets first.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import FactoryError

SQLSTATE: Final = "FF409"
"""With what the database refuses."""


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
    mark: Path | None = None
    """A link whose target is the newest attempt; for effects that are not the database's."""

    def __str__(self) -> str:
        return f"{self.attempt} {self.subject}"

    def check(self) -> None:
        """Raise Fenced where somebody else has set the mark since."""
        if self.mark is not None and marked(self.mark) > self.attempt:
            raise overtaken(f"{self.subject} was taken up by somebody else")


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


def check() -> None:
    """Raise Fenced where this is done for something that somebody else has taken up."""
    fence = _entered.get()
    if fence is not None:
        fence.check()


def overtaken(why: str) -> Fenced:
    """The error of who was overtaken."""
    return Fenced(why, untouched="Nothing of it was written", todo="Whoever took it up goes on with it")


def marked(mark: Path) -> int:
    """The newest attempt that a mark tells of; 0 where there is none."""
    try:
        target = os.readlink(mark)
    except OSError:
        return 0
    return int(target) if target.isdecimal() else 0


def set_mark(mark: Path, attempt: int) -> None:
    """Say that an attempt has begun; an older one never takes the place of a newer one. Blocks."""
    if marked(mark) >= attempt:
        return
    mark.parent.mkdir(parents=True, exist_ok=True)
    fresh = mark.with_name(f"{mark.name}.{attempt}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(str(attempt))
    fresh.rename(mark)
