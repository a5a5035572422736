"""Runs as jobs: recorded and put into the queue in one transaction, driven by whichever worker is free."""

from __future__ import annotations

import asyncio
from typing import Final

from core import clock, logs
from governance.approvals import Approval
from graph.driver import RunBusy
from graph.queue import queries
from graph.queue.kinds import Job, Later
from graph.queue.queue import Queue
from graph.runner import Factory
from workspace.project_settings import load_operators

DRIVE: Final = "drive"
"""The kind of such a job."""
_ANSWERED: Final = 10
"""The priority of a run that a person has answered: it goes before new ones."""
_BUSY: Final = 2.0
"""Seconds until a run is looked at again that some process drives which has no worker."""

_log = logs.get(__name__)


class Runs:
    """The dispatch of a service: has runs driven by the queue's workers."""

    def __init__(self, factory: Factory, queue: Queue) -> None:
        self._factory = factory
        self._queue = queue

    @classmethod
    def of(cls, factory: Factory, queue: Queue) -> Runs:
        """Connect a factory with a queue: from here on, what is submitted and answered there is driven."""
        runs = cls(factory, queue)
        queue.register(DRIVE, runs._drive)
        factory.services.runs.created = runs._created
        factory.approvals.decided = runs._decided
        return runs

    async def go_on(self, run_id: str, *, priority: int = 0) -> None:
        """Have the run driven until it ends or waits; also after a person answered, or after it failed."""
        run = await self._factory.services.run(run_id)
        most = await self._most(run.project)
        async with self._queue.pool.connection() as conn, conn.transaction():
            await queries.mark_queued(conn, run_id, most)
            await queries.forget_failures(conn, lock_of(run_id))
            await self._defer(conn, run_id, run.project, most, priority)

    async def keep(self) -> None:
        """A chore: decide what nobody decided in time, and pick up runs that the queue has forgotten."""
        await self._factory.approvals.expire(clock.now())
        async with self._queue.pool.connection() as conn:
            lost = await queries.forgotten(conn, DRIVE)
        for run_id in lost:
            _log.warning("queue.picked_up", run=run_id)
            await self.go_on(run_id)

    async def _drive(self, job: Job) -> None:
        try:
            await self._factory.drive(str(job.payload["run"]), wait=False)
        except RunBusy as busy:
            raise Later(_BUSY, str(busy)) from busy

    async def _created(self, conn: queries.Connection, run_id: str, project: str) -> None:
        most = await self._most(project)
        await queries.mark_queued(conn, run_id, most)
        await self._defer(conn, run_id, project, most, 0)

    async def _decided(self, conn: queries.Connection, approval: Approval) -> None:
        if found := await queries.queued(conn, approval.run_id):
            await self._defer(conn, approval.run_id, found["project"], found["most"], _ANSWERED)

    async def _defer(
        self, conn: queries.Connection, run_id: str, project: str, most: int | None, priority: int
    ) -> None:
        lock = lock_of(run_id)
        await self._queue.defer(
            DRIVE,
            {"run": run_id},
            conn=conn,
            lock=lock,
            queueing_lock=lock,
            priority=priority,
            group=project,
            most=most,
        )

    async def _most(self, project: str) -> int | None:
        settings = self._factory.settings
        told = await asyncio.to_thread(load_operators, settings.home, project)
        return told.runs_at_once or settings.runs_at_once


def lock_of(run_id: str) -> str:
    """The lock of jobs that concern a run."""
    return f"run {run_id}"
