"""What an operative's tools reach beside its worktree: the project's mail, and its memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from memory.telling import Told
from workspace.mail.message import Message


class Mail(Protocol):
    """The project's mail, as one team has it."""

    async def read(self, query: str) -> list[Message]:
        """The newest messages, or those that hold every word."""
        ...

    async def send(self, to: str, subject: str, body: str) -> Message:
        """Leave a note. Raises BadInput for somebody who is not there."""
        ...


class Recollected(Protocol):
    """What memory has about something."""

    @property
    def lines(self) -> Sequence[Told]:
        """The memories, the best first."""
        ...

    @property
    def note(self) -> str:
        """What was missing; empty where nothing was."""
        ...


class Memory(Protocol):
    """The project's memory, as one team has it."""

    async def recall(self, query: str) -> Recollected:
        """What is remembered about a query. Raises FactoryError."""
        ...
