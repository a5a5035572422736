"""Runs as jobs: recorded and put into the queue in one transaction, driven by whichever worker is free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from core import logs
from core.errors import FactoryError
from core.redaction import redact
from core.tasks import CLEANING, end
from graph import control, turn_queries
from graph.driver import RunBusy
from graph.lifecycle import ENDED
from graph.queue import placing, queries
from graph.queue.kinds import Job, Later
from graph.queue.placing import DRIVE, lock_of
from graph.queue.queue import Queue
from graph.queue.worker import Chore, Workers
from graph.runner import Factory
from graph.schedules.recurring import Recurring
from workspace.project_settings import operators

_BUSY: Final = 2.0
"""Seconds until a run is looked at again that some process drives which has no worker."""

_log = logs.get(__name__)


class Dispatch:
    """Has the runs of a factory driven by workers, of this process or of others.

    What is submitted and answered in the factory goes into the queue in the transaction that records it.
    """

    def __init__(self, factory: Factory, queue: Queue) -> None:
        self.queue = queue
        """For jobs of other kinds."""
        self._factory = factory
        self._failures: dict[str, str] = {}
        queue.register(DRIVE, self._drive)
        self.recurring = Recurring(factory, queue)
        self.chores: list[Chore] = [self.keep, self.recurring.start_due]
        """What workers of this process do every few seconds."""
        factory.services.runs.created = self._created
        factory.approvals.decided = placing.answered

    @classmethod
    @asynccontextmanager
    async def open(cls, factory: Factory) -> AsyncGenerator[Dispatch]:
        """The dispatch of an open factory."""
        lease = factory.settings.lease_seconds
        async with Queue.open(factory.db, factory.services.holds, lease=lease) as queue:
            yield cls(factory, queue)

    @asynccontextmanager
    async def working(self, jobs: int) -> AsyncGenerator[asyncio.Task[None] | None]:
        """Work in this process too, on so many jobs at once; in the end what is being done is handed over.

        Gives the task that works; it ends by itself where the database is too new for this program. Kinds of
        jobs that are registered later are not done here.
        """
        if not jobs:
            yield None
            return
        task = asyncio.create_task(Workers(self.queue, jobs, self.chores).run(), name="workers")
        try:
            yield task
        finally:
            await end(task, again=CLEANING)

    def works_on(self, run_id: str) -> bool:
        """Whether this process drives the run now."""
        return self.queue.holds.has(run_id)

    def failure(self, run_id: str) -> str | None:
        """Why this process stopped driving the run, where it did not end or wait."""
        return self._failures.get(run_id)

    async def go_on(self, run_id: str, *, priority: int = 0) -> None:
        """Have the run driven until it ends or waits; also after a person answered, or after it failed."""
        run = await self._factory.services.run(run_id)
        most = await self._most(run.project)
        async with self.queue.pool.connection() as conn, conn.transaction():
            await queries.mark_queued(conn, run_id, most)
            await queries.forget_failures(conn, lock_of(run_id))
            if not (run.after and await turn_queries.behind(conn, run_id, [*sorted(ENDED)])):
                await placing.drive(conn, run_id, run.project, most, priority=priority)

    async def keep(self) -> None:
        """A chore: decide what nobody decided in time, stop runs that nobody drives where that is wanted, and
        pick up those whose turn has come, or which the queue has forgotten."""
        await self._factory.approvals.expire(await self._factory.db.now())
        async with self.queue.pool.connection() as conn:
            unheeded = await turn_queries.unheeded(conn, [*sorted(ENDED)])
        await control.settle_all(self._factory.services, unheeded)
        async with self.queue.pool.connection() as conn:
            lost = await queries.forgotten(conn, DRIVE)
        for run_id in lost:
            _log.info("queue.picked_up", run=run_id)
            await self.go_on(run_id)

    async def _drive(self, job: Job) -> None:
        run_id = str(job.payload["run"])
        self._failures.pop(run_id, None)
        try:
            await self._factory.drive(run_id, wait=False)
        except RunBusy as busy:
            raise Later(_BUSY, str(busy)) from busy
        except Exception as error:
            said = str(error) if isinstance(error, FactoryError) else f"{type(error).__name__}: {error}"
            self._failures[run_id] = redact(said)
            raise

    async def _created(self, conn: queries.Connection, run_id: str, project: str, waits: bool) -> None:
        most = await self._most(project)
        await queries.mark_queued(conn, run_id, most)
        # One whose turn comes later is picked up then, as what the queue has forgotten.
        if not (waits and await turn_queries.behind(conn, run_id, [*sorted(ENDED)])):
            await placing.drive(conn, run_id, project, most)

    async def _most(self, project: str) -> int | None:
        settings = self._factory.settings
        told = await operators(settings.home, project)
        return told.runs_at_once or settings.runs_at_once
