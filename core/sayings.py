"""What a model is writing just now, from the process that asked it to those who look at its run.

Transient: it is in no log and no table, nobody waits for it, and where nobody listens it is gone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass, field
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from core import logs
from core.database import Database, DatabaseUnavailable
from core.tasks import end

CHANNEL: Final = "factory_sayings"
MOST_BYTES: Final = 7_000
"""Of a notification, of which Postgres takes 8,000; of a longer text the end is told."""
_AGAIN: Final = 1.0
"""Seconds until it is listened again after the database was away."""

logger = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Saying:
    """An answer while it comes."""

    run_id: str
    team: str
    call: str
    """The key of the model call: what its event's key begins with."""
    text: str
    """What was written so far, secrets masked; of much, the end."""


async def tell(db: Database, saying: Saying) -> None:
    """Let those who listen have it. Raises DatabaseUnavailable, psycopg.Error."""
    async with db.pool.connection() as connection:
        await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, _packed(saying)))


def _packed(saying: Saying) -> str:
    text = saying.text[-MOST_BYTES:]
    while True:
        told = json.dumps({**asdict(saying), "text": text}, ensure_ascii=False)
        over = len(told.encode()) - MOST_BYTES
        if over <= 0 or not text:
            return told
        text = text[min(len(text), max(over // 4, 1)) :]  # a character has at most four bytes


@dataclass(eq=False)
class _Listener:
    run_id: str
    newest: dict[str, Saying] = field(default_factory=dict[str, Saying])
    """By team; who is slow sees the newest only."""
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Sayings:
    """Hears what is told, over one connection of a process; none while nobody follows."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._listeners = set[_Listener]()
        self._listening: asyncio.Task[None] | None = None

    async def follow(self, run_id: str) -> AsyncGenerator[Saying]:
        """What the models of a run are writing, from now on. Never ends by itself."""
        listener = _Listener(run_id)
        self._listeners.add(listener)
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="sayings")
        try:
            while True:
                await listener.news.wait()
                listener.news.clear()
                told, listener.newest = listener.newest, {}
                for saying in told.values():
                    yield saying
        finally:
            await self._leave(listener)

    async def _leave(self, listener: _Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners and self._listening is not None:
            listening, self._listening = self._listening, None
            await end(listening)

    async def _listen(self) -> None:
        while True:
            try:
                connection = await self._db.connect()
                try:
                    await self._hear(connection)
                finally:
                    await connection.close()
            except (psycopg.Error, DatabaseUnavailable) as error:
                logger.warning("what models write is not shown for a moment", error=str(error).strip())
            await asyncio.sleep(_AGAIN)

    async def _hear(self, connection: AsyncConnection[DictRow]) -> None:
        await connection.execute(f"LISTEN {CHANNEL}".encode())
        async for notification in connection.notifies():
            try:
                saying = Saying(**json.loads(notification.payload))
            except (TypeError, ValueError):
                continue  # of another version
            for listener in self._listeners:
                if listener.run_id == saying.run_id:
                    listener.newest[saying.team] = saying
                    listener.news.set()
