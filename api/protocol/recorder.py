"""Writes what runs stream, so that any process can tell it: together, and never for a run of another's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import psycopg

from api.protocol.encoding import text_of
from api.protocol.queries import Line, events
from core import clock, logs
from core.database import Database, DatabaseUnavailable
from core.errors import FactoryError
from core.fencing import Fenced
from core.tasks import end

FIRST: Final = 0.015
"""Seconds after which lines are written where none were for a while."""
TOGETHER: Final = 0.05
"""Seconds for which lines are gathered otherwise: a token costs no transaction, and nobody sees it."""
MOST_WAITING: Final = 256
"""Lines after which a run waits until they are written."""
_AGAIN: Final = 1.0
"""Seconds until it is tried again where the database is away."""

logger = logs.get(__name__)


@dataclass(eq=False)
class Scribe:
    """Writes the streams of all runs that one executor has."""

    db: Database
    executor: str
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _waiting: dict[Recorder, None] = field(default_factory=dict["Recorder", None])
    """Those that have lines, in the order in which they had their first."""
    _sent: dict[Recorder, list[Line]] = field(default_factory=dict["Recorder", list[Line]])
    """What is being written."""
    _written: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Write in the background."""
        writer = asyncio.create_task(self._write(), name="streams of runs")
        try:
            yield
        finally:
            await end(writer)

    def has(self, recorder: Recorder) -> None:
        """Hear that there are lines to be written."""
        self._waiting[recorder] = None
        self._news.set()

    async def next_turn(self) -> None:
        """Wait until lines have been written that are not yet, or could not be."""
        await self._written.wait()

    async def leave(self, recorder: Recorder) -> None:
        """Write nothing more of it; what is being written of it is finished."""
        self._waiting.pop(recorder, None)
        while recorder in self._sent:
            await self.next_turn()
        self._waiting.pop(recorder, None)

    async def _write(self) -> None:
        before = 0.0
        while True:
            await self._news.wait()
            await asyncio.sleep(max(FIRST, TOGETHER - (clock.monotonic() - before)))
            self._news.clear()
            self._sent = {recorder: recorder.take() for recorder in self._waiting}
            self._waiting = {}
            try:
                await self._send_all()
            finally:
                self._sent = {}
                self._written.set()
                self._written = asyncio.Event()
            before = clock.monotonic()

    async def _send_all(self) -> None:
        try:
            await self._send(self._sent)
        except (psycopg.OperationalError, OSError, DatabaseUnavailable) as error:
            logger.warning("streams of runs wait for the database", error=str(error).strip())
            for recorder, lines in self._sent.items():
                recorder.give_back(lines)
            await asyncio.sleep(_AGAIN)
        except (psycopg.Error, FactoryError):
            # One of them has what cannot be written: the others are not to suffer for it.
            logger.warning("streams of runs are written one by one", exc_info=True)
            for recorder, lines in self._sent.items():
                await self._send_alone(recorder, lines)

    async def _send_alone(self, recorder: Recorder, lines: list[Line]) -> None:
        try:
            await self._send({recorder: lines})
        except Exception as error:
            logger.exception("a run's stream could not be written", run=str(recorder.run_id))
            recorder.fail(error)

    async def _send(self, given: dict[Recorder, list[Line]]) -> None:
        asked = [
            {"run": recorder.run_id, "attempt": recorder.attempt, "lines": lines}
            for recorder, lines in given.items()
        ]
        async with self.db.pool.connection() as conn:
            mine = await events.append(conn, self.executor, text_of(asked))
        for recorder in given:
            if recorder.run_id not in mine:
                recorder.fail(_taken_over(recorder))


def _taken_over(recorder: Recorder) -> Fenced:
    return Fenced(f"Run {recorder.run_id} was taken over", untouched="Nothing more is written for it here")


@dataclass(eq=False)
class Recorder:
    """The stream of one attempt at a run."""

    scribe: Scribe
    run_id: UUID
    attempt: int
    _lines: list[Line] = field(default_factory=list[Line])
    _failed: Exception | None = None

    @property
    def executor(self) -> str:
        """Whose attempt it is."""
        return self.scribe.executor

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Write in the background; what is left at the end is for `take`."""
        try:
            yield
        finally:
            await self.scribe.leave(self)

    async def stream(self, event: str, data: object) -> None:
        """A line of the run's stream."""
        await self._add(("stream", event, text_of(data)))

    async def tell(self, method: str, data: object, namespace: list[str] | None = None) -> None:
        """An event of the thread's stream."""
        await self._add(line_of(method, data, namespace))

    def take(self) -> list[Line]:
        """What is not written yet, for who writes it."""
        lines, self._lines = self._lines, []
        return lines

    def give_back(self, lines: Sequence[Line]) -> None:
        """Lines that were taken, and could not be written now."""
        self._lines = [*lines, *self._lines]
        self.scribe.has(self)

    def fail(self, error: Exception) -> None:
        """Have the run told that nothing more of it can be written."""
        self._failed = error

    async def _add(self, line: Line) -> None:
        if self._failed is not None:
            raise self._failed
        self._lines.append(line)
        self.scribe.has(self)
        while len(self._lines) > MOST_WAITING:
            await self.scribe.next_turn()


def line_of(method: str, data: object, namespace: list[str] | None = None) -> Line:
    """An event of the thread's stream, as a line; the reader adds its number."""
    params: dict[str, Any] = {
        "namespace": namespace or [],
        "timestamp": time.time_ns() // 1_000_000,
        "data": data,
    }
    return ("event", method, text_of({"type": "event", "method": method, "params": params}))
