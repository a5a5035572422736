"""Putting work into the queue, and saying who does which kind of it."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Unpack, cast

from procrastinate import App, exceptions
from procrastinate.job_context import AbortReason, JobContext

from core import logs
from core.database import Database
from core.incarnation import Pool
from core.json import JsonValue
from graph.holds import Holds
from graph.queue import queries
from graph.queue.kinds import Again, HandedOver, Handler, Job, Kind, Later
from graph.queue.placing import Place, defer
from graph.queue.store import Connector, Jobs

_CONNECTIONS: Final = 3
"""Of the queue's own: a beat must not wait for what runs do."""
_BUSY: Final = 1.0
"""Seconds until a job is tried again whose subject somebody else holds."""

_log = logs.get(__name__)


class Queue:
    """The queue of a database. Any process may put work in; those with workers (worker.py) do it."""

    def __init__(self, db: Database, holds: Holds, pool: Pool, lease: float) -> None:
        self.db = db
        self.holds = holds
        self.lease = lease
        self.pool = pool
        """Connections for the queue alone."""
        connector = Connector(db)
        self.app = App(connector=connector)
        self.app.job_manager = Jobs(connector, pool)
        self.kinds: dict[str, Kind] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, db: Database, holds: Holds, *, lease: float) -> AsyncGenerator[Queue]:
        """A queue; it is closed with its database."""
        queue = cls(db, holds, await db.own_pool(_CONNECTIONS), lease)
        async with queue.app.open_async(queue.pool):
            yield queue

    def register(self, name: str, handler: Handler, *, held: bool = False) -> None:
        """Let workers of this process do jobs of that kind.

        A `held` kind's jobs have a lock, which names what they work on: it is held while one is done, and all
        effects are fenced (core/fencing.py).
        """
        kind = self.kinds[name] = Kind(name, handler, held)

        async def do(context: JobContext, *, payload: dict[str, Any], **_: Any) -> None:
            await self._do(kind, context, payload)

        self.app.task(name=name, queue=name, pass_context=True, retry=Again())(do)

    async def defer(
        self,
        kind: str,
        payload: Mapping[str, JsonValue],
        **place: Unpack[Place],
    ) -> int:
        """Have a worker do a job; its id."""
        async with self.pool.connection() as conn:
            row = await (await defer(conn, kind, payload, place)).fetchone()
        assert row is not None
        return cast(int, row["id"])

    async def defer_in(
        self,
        conn: queries.Connection,
        kind: str,
        payload: Mapping[str, JsonValue],
        **place: Unpack[Place],
    ) -> None:
        """The same in that connection's transaction. In a pipeline nothing is waited for."""
        await defer(conn, kind, payload, place)

    async def _do(self, kind: Kind, context: JobContext, payload: dict[str, Any]) -> None:
        given = context.job
        assert given.id is not None
        job = Job(given.id, kind.name, payload, given.attempts + 1, given.lock)
        try:
            if not kind.held or given.lock is None:
                await kind.handler(job)
                return
            async with self.holds.hold(given.lock) as hold:
                if hold is None:
                    raise Later(_BUSY, f"{given.lock} is worked on by another process")
                with hold.entered():
                    await kind.handler(job)
        except BaseException as error:
            # Cancelled by a person, by the end of this worker, or by somebody who holds the lock now.
            match context.abort_reason():
                case AbortReason.USER_REQUEST:
                    raise exceptions.JobAborted from error
                case AbortReason.SHUTDOWN:
                    raise HandedOver from error
                case None:
                    raise
