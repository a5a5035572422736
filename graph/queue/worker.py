"""Doing what the queue holds, in this process, until it is told to end; then others go on."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from procrastinate import exceptions
from procrastinate.worker import Worker

from core import logs
from core.database import DatabaseTooNew, DatabaseUnavailable
from core.tasks import CLEANING, end
from graph.queue import queries
from graph.queue.queue import Queue

MOST_AT_ONCE: Final = 4
"""Jobs that one process does side by side, if nobody says another number."""
_POLL: Final = 1.0
"""Seconds between two looks for a job where no notification came: one that waited for room in its group."""
_BEATS: Final = 5
"""Beats in a lease."""
_LONGEST: Final = 5.0
"""Seconds between two tries to begin again when the database is away."""
_KEPT: Final = 14
"""Days that failed jobs are kept."""
_SWEEP: Final = 3600.0
"""Seconds between two times that they are looked through."""

Chore = Callable[[], Awaitable[None]]
"""What each worker process does beside its jobs, every few seconds; all of them may do it at once."""

logger = logs.get(__name__)


@dataclass
class Workers:
    """What this process does of the queue."""

    queue: Queue
    jobs: int
    """Jobs side by side."""
    chores: Sequence[Chore] = ()

    async def run(self) -> None:
        """Work until cancelled. What is being done then is put back, for others to go on with at once.

        It survives that the database is away: jobs that fail for it come again. Raises DatabaseTooNew where a
        newer release has migrated it meanwhile.
        """
        reaping = asyncio.create_task(self._reap(), name="reaper")
        working = asyncio.create_task(self._work(), name="worker")
        try:
            done, _ = await asyncio.wait((reaping, working), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(working, again=CLEANING)
            await end(reaping)
        for task in done:
            task.result()

    async def _work(self) -> None:
        pause = 0.1
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._worker().run()
            except (exceptions.ProcrastinateException, psycopg.Error, DatabaseUnavailable) as error:
                logger.warning("worker.lost_database", error=str(error).strip())
            # It also returns where a task of its own has failed: its beat, its ear.
            pause = 0.1 if asyncio.get_running_loop().time() - began > _LONGEST else min(2 * pause, _LONGEST)
            await asyncio.sleep(pause)

    def _worker(self) -> Worker:
        return Worker(
            self.queue.app,
            queues=sorted(self.queue.kinds),
            concurrency=self.jobs,
            fetch_job_polling_interval=_POLL,
            abort_job_polling_interval=_POLL,
            shutdown_graceful_timeout=0,
            delete_jobs="successful",
            install_signal_handlers=False,
            update_heartbeat_interval=self.queue.lease / _BEATS,
            stalled_worker_timeout=self.queue.lease,
        )

    async def _reap(self) -> None:
        loop = asyncio.get_running_loop()
        swept = loop.time() - _SWEEP
        while True:
            try:
                await self.queue.db.check_schema()
                async with self.queue.pool.connection() as conn:
                    if reaped := await queries.reap(conn, self.queue.lease):
                        logger.warning("worker.reaped", jobs=reaped)
                    if loop.time() - swept >= _SWEEP:
                        await queries.sweep(conn, _KEPT)
                        swept = loop.time()
                for chore in self.chores:
                    await chore()
            except DatabaseTooNew as error:
                logger.error("worker.too_old", error=str(error))
                raise
            except Exception:  # the database may be away, a chore may have met nonsense: it is tried again
                logger.exception("worker.chore_failed")
            await asyncio.sleep(min(self.queue.lease / _BEATS, _LONGEST))
