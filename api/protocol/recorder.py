"""Writes what a run streams, so that any process can tell it: in small batches, never for another's run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from api.protocol.encoding import text_of
from api.protocol.queries import Connection, events
from core.database import Database
from core.fencing import Fenced
from core.tasks import end

FIRST: Final = 0.015
"""Seconds after which a run's first lines are written."""
TOGETHER: Final = 0.05
"""Seconds for which lines are gathered after that: a token costs no transaction, and nobody sees it."""
MOST_WAITING: Final = 256
"""Lines after which the run waits until they are written."""

Line = tuple[str, str, str]


@dataclass
class Recorder:
    """The stream of one attempt at a run."""

    db: Database
    run_id: UUID
    thread_id: UUID
    executor: str
    attempt: int
    _lines: list[Line] = field(default_factory=list[Line])
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Write in the background; what is left at the end is for `take`."""
        writer = asyncio.create_task(self._write(), name=f"record {self.run_id}")
        try:
            yield
        finally:
            async with self._writing:  # a batch that is being written is finished
                writer.cancel()
            await end(writer)

    async def stream(self, event: str, data: object) -> None:
        """A line of the run's stream."""
        await self._add(("stream", event, text_of(data)))

    async def tell(self, method: str, data: object, namespace: list[str] | None = None) -> None:
        """An event of the thread's stream."""
        await self._add(line_of(method, data, namespace))

    def take(self) -> list[Line]:
        """What is not written yet, for the transaction that ends the run."""
        lines, self._lines = self._lines, []
        return lines

    async def send(self, conn: Connection, lines: list[Line]) -> AsyncCursor[DictRow]:
        """Write lines; whether they were written says `check`."""
        return await events.append(
            conn,
            run_id=self.run_id,
            thread_id=self.thread_id,
            executor=self.executor,
            attempt=self.attempt,
            lines=lines,
        )

    async def check(self, written: AsyncCursor[DictRow], lines: list[Line]) -> None:
        """Raises Fenced where the run is another's by now."""
        row = await written.fetchone()
        if row is None or row["n"] != len(lines):
            raise Fenced(f"Run {self.run_id} was taken over", untouched="Nothing more is written for it here")

    async def _add(self, line: Line) -> None:
        self._lines.append(line)
        self._news.set()
        if len(self._lines) > MOST_WAITING:
            await self._flush()

    async def _write(self) -> None:
        pause = FIRST
        while True:
            await self._news.wait()
            await asyncio.sleep(pause)
            pause = TOGETHER
            await self._flush()

    async def _flush(self) -> None:
        async with self._writing:
            self._news.clear()
            lines = self.take()
            if lines:
                async with self.db.pool.connection() as conn:
                    await self.check(await self.send(conn, lines), lines)


def line_of(method: str, data: object, namespace: list[str] | None = None) -> Line:
    """An event of the thread's stream, as a line; the reader adds its number."""
    params: dict[str, Any] = {
        "namespace": namespace or [],
        "timestamp": time.time_ns() // 1_000_000,
        "data": data,
    }
    return ("event", method, text_of({"type": "event", "method": method, "params": params}))
