"""The bell: one connection per process hears that a thread has news, a run waits, or one is to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import psycopg

from api.protocol.queries.events import CHANNEL
from core import logs
from core.database import Database, DatabaseUnavailable
from core.tasks import end

LOOK_ANYWAY = 5.0
"""Seconds after which who waits looks anyway: a bell that was not heard costs time, never news."""
_AGAIN = 0.5

logger = logs.get(__name__)


@dataclass
class Bell:
    """Wakes who waits. `ring` is what the database says; in this process it can be rung directly too."""

    db: Database
    _waiting: dict[str, set[asyncio.Event]] = field(default_factory=dict[str, set[asyncio.Event]])
    _ending: dict[str, set[asyncio.Event]] = field(default_factory=dict[str, set[asyncio.Event]])
    ends: int = 0
    """How many ends of runs were heard. While it stays the same, a run that had not ended has not."""
    _on: list[Callable[[str], None]] = field(default_factory=list[Callable[[str], None]])

    @classmethod
    @asynccontextmanager
    async def open(cls, db: Database) -> AsyncGenerator[Bell]:
        """Listen while it is open."""
        bell = cls(db)
        listening = asyncio.create_task(bell._listen(), name="protocol bell")
        try:
            yield bell
        finally:
            await end(listening)

    def on_other(self, call: Callable[[str], None]) -> None:
        """Have `call` told what is rung that is about no thread: `run ID GRAPH`, `interrupt ID`."""
        self._on.append(call)

    @contextmanager
    def hearing(self, thread_id: str, *, ends_only: bool = False) -> Generator[asyncio.Event]:
        """An event that is set when the thread has news, or a run of it ends; clear it before you look."""
        event = asyncio.Event()
        whose = self._ending if ends_only else self._waiting
        whose.setdefault(thread_id, set()).add(event)
        try:
            yield event
        finally:
            waiting = whose[thread_id]
            waiting.discard(event)
            if not waiting:
                del whose[thread_id]

    def ring(self, what: str) -> None:
        """Wake who waits for it in this process."""
        kind, _, name = what.partition(" ")
        if kind == "ended":
            self.ends += 1
            for event in self._ending.get(name, ()):
                event.set()
        if kind in ("thread", "ended"):
            for event in self._waiting.get(name, ()):
                event.set()
            return
        for call in self._on:
            call(what)

    async def _listen(self) -> None:
        while True:
            try:
                connection = await self.db.connect()
                try:
                    await connection.execute(f"LISTEN {CHANNEL}".encode())
                    self._wake_all()  # what was rung while nobody listened
                    async for notice in connection.notifies():
                        self.ring(notice.payload)
                finally:
                    await connection.close()
            except (psycopg.Error, DatabaseUnavailable) as error:
                logger.warning("the protocol's bell is not heard", error=str(error))
            await asyncio.sleep(_AGAIN)

    def _wake_all(self) -> None:
        self.ends += 1
        for events in (*self._waiting.values(), *self._ending.values()):
            for event in events:
                event.set()
        for call in self._on:
            call("run *")


async def wait_for(event: asyncio.Event, seconds: float = LOOK_ANYWAY) -> bool:
    """Wait until it is set, at most so long; whether it was."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
