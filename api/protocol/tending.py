"""What has to be done from time to time: crons whose moment has come, threads that expire, old streams."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from psycopg.rows import DictRow

from api.access import Caller
from api.protocol.queries import crons as cron_queries
from api.protocol.queries import events, threads
from api.protocol.wanted import RunWanted
from core import clock, logs
from core.database import Database
from core.errors import FactoryError
from governance.access.principal import whole
from graph.schedules import next_time

_LOOK: Final = 5.0
"""Seconds between two looks at the crons."""
_SWEEP: Final = 60
"""Looks between two sweeps of what is old."""
STREAMS_KEPT: Final = timedelta(days=2)
"""How long a run's stream can be joined after its end."""

logger = logs.get(__name__)


class Tended(Protocol):
    """The protocol, as far as it is tended."""

    @property
    def db(self) -> Database: ...

    async def accept(self, wanted: RunWanted, caller: Caller, thread_id: UUID | None) -> DictRow: ...


async def tend(protocol: Tended) -> None:
    """Until cancelled."""
    looks = 0
    while True:
        try:
            await start_due(protocol, await protocol.db.now())
            if looks % _SWEEP == 0:
                await sweep(protocol, clock.now())
        except Exception:  # the database may be away for a while; the process stays
            logger.exception("the protocol was not tended")
        looks += 1
        await asyncio.sleep(_LOOK)


async def start_due(protocol: Tended, now: datetime) -> int:
    """Start the runs of crons whose moment has come, each once, whichever process is first; how many."""
    started = 0
    while True:
        async with protocol.db.pool.connection() as conn, conn.transaction():
            cron = await cron_queries.due(conn, now)
            if cron is None:
                return started
            upcoming = next_time(cron["schedule"], cron["timezone"], now)
            await cron_queries.set_next(conn, cron["cron_id"], upcoming)
        # A moment that is missed between the two is missed: a cron's run is never started twice.
        await _start(protocol, cron)
        started += 1


async def _start(protocol: Tended, cron: DictRow) -> None:
    wanted = RunWanted.model_validate({**cron["payload"], "assistant_id": str(cron["assistant_id"])})
    wanted.metadata = {**(wanted.metadata or {}), "cron_id": str(cron["cron_id"])}
    wanted.on_completion = "keep" if cron["on_run_completed"] == "keep" else None
    try:
        caller = Caller(cron["by"], "operator", whole("operator"), "token")
        await protocol.accept(wanted, caller, cron["thread_id"])
    except FactoryError as error:
        logger.warning("a cron's run was not started", cron=str(cron["cron_id"]), error=str(error))


async def sweep(protocol: Tended, now: datetime) -> None:
    """Forget what is old: streams of runs that ended, threads whose time is over."""
    checkpointer = await protocol.db.checkpointer()
    async with protocol.db.pool.connection() as conn:
        await events.prune(conn, now - STREAMS_KEPT)
        expired = await threads.expired(conn, now)
    for row in expired:
        async with protocol.db.pool.connection() as conn:
            await threads.delete(conn, row["thread_id"])
        await checkpointer.adelete_thread(str(row["thread_id"]))
