"""One life of the database server, from its start to its death or restart.

An event with a key is committed without waiting for the disk, because the checkpoint of its node follows and
carries it there. That holds only inside one life of the server: when it is killed after the event and is back
before the checkpoint, a client that simply reconnects would write a checkpoint whose events are lost. So who
drives a run pins the life in which it took the run up, and no connection to a later one is handed out to it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import datetime
from weakref import WeakKeyDictionary

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool

from core import fencing, queries
from core.postgres import DatabaseUnavailable

Connection = AsyncConnection[DictRow]
Incarnation = tuple[datetime, datetime]
"""When the server was started, and when its statistics began: they begin anew with each crash recovery, also
where the server's first process lived on."""

_lives: WeakKeyDictionary[Connection, Incarnation] = WeakKeyDictionary()
_fences: WeakKeyDictionary[Connection, str] = WeakKeyDictionary()
"""What connections were told to write under."""
_pin: ContextVar[Incarnation | None] = ContextVar("incarnation", default=None)


class ServerRestarted(DatabaseUnavailable):
    """The server is not the one any more with which the work was begun."""


class Pool(AsyncConnectionPool[Connection]):
    """A pool that hands out connections of the pinned life of the server only, where one is pinned."""

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncGenerator[Connection]:
        """As the base class has it; raises ServerRestarted."""
        async with super().connection(timeout) as connection:
            wanted = _pin.get()
            if wanted is not None and _lives.get(connection) != wanted:
                raise ServerRestarted(
                    "The database server was restarted in the middle of the work",
                    untouched="What was recorded before is kept",
                    todo="Take the work up again from its last checkpoint",
                )
            await _fence(connection)
            try:
                yield connection
            except psycopg.DatabaseError as error:
                if error.sqlstate == fencing.SQLSTATE:
                    raise fencing.overtaken(str(error).splitlines()[0]) from error
                raise

    async def _get_ready_connection(self, timeout: float | None) -> Connection | None:
        """An idle one that was told before under what this task writes, if there is one: to tell another is a
        round trip, and was every third statement of a busy service. Of several the one that was used last: it
        has the most plans ready."""
        wanted = _wanted()
        for connection in reversed(self._pool):
            if _fences.get(connection, "") == wanted:
                self._pool.remove(connection)
                self._pool.appendleft(connection)
                break
        return await super()._get_ready_connection(timeout)


def _wanted() -> str:
    return str(fencing.current() or "")


async def _fence(connection: Connection) -> None:
    """Have the connection write under what this task works on, or under nothing."""
    wanted = _wanted()
    if _fences.get(connection, "") != wanted:
        await connection.execute(queries.SET_FENCE, (wanted,))
        _fences[connection] = wanted


async def recognise(connection: Connection) -> None:
    """Note which life of the server a new connection belongs to. For a pool's `configure`."""
    row = await (await connection.execute(queries.INCARNATION)).fetchone()
    assert row is not None
    _lives[connection] = (row["started"], row["recovered"])


@contextmanager
def pinned(connection: Connection) -> Generator[None]:
    """Inside, and in tasks begun inside, only connections to the same life as `connection` are handed out."""
    token = _pin.set(_lives[connection])
    try:
        yield
    finally:
        _pin.reset(token)


def is_pinned() -> bool:
    """Whether later lives of the server are out of reach here, so that a later commit may carry this one."""
    return _pin.get() is not None
