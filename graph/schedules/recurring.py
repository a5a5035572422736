"""What schedules say is done: each time that comes becomes one job, and the job one run.

Who sees first that a time has come moves the schedule on and puts the job into the queue, in one transaction
under the row's lock: so a time is one job with any number of workers. The run's id stands in the job, so a
job that is done twice makes one run. Times that passed while nobody looked are made up by one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from core import clock, faults, logs
from core.database import DatabaseUnavailable
from core.errors import FactoryError
from core.events import SERVICE
from core.fencing import Fenced
from core.json import JsonObject
from core.redaction import redact
from graph import letters, paying
from graph.giving import give
from graph.lifecycle import ENDED
from graph.queue.kinds import Job
from graph.queue.queue import Queue
from graph.runner import Factory
from graph.schedules import queries
from graph.schedules.schedules import Schedule, schedule_of
from models.errors import ModelUnavailable

SUBMIT: Final = "schedule"
"""The kind of such a job."""
_AT_ONCE: Final = 100
"""Times that one look takes up; what is more comes with the next one, seconds later."""

_log = logs.get(__name__)


class Recurring:
    """Submits what is due, in processes with workers."""

    def __init__(self, factory: Factory, queue: Queue) -> None:
        self._factory = factory
        self._queue = queue
        queue.register(SUBMIT, self._submit)

    async def start_due(self) -> None:
        """A chore: put a job into the queue for each schedule whose time has come."""
        for _ in range(_AT_ONCE):
            async with self._factory.db.pool.connection() as conn, conn.transaction():
                now = await self._factory.db.now(conn)
                row = await queries.due(conn, now)
                if row is None:
                    return
                await self._came(conn, schedule_of(row, row["id"]), now)

    async def _came(self, conn: queries.Connection, schedule: Schedule, now: datetime) -> None:
        due, upcoming = schedule.next_at, schedule.after(now)
        why = await queries.under_way(conn, schedule.id, sorted(ENDED))
        if not why and not schedule.work.inbox:
            why = await paying.exhausted(self._factory.services, schedule.project)
        said = f"skipped: {why}" if why else "due"
        await queries.came(conn, schedule.id, next_at=upcoming, due_at=due, said=said)
        told: JsonObject = {"schedule": schedule.id, "project": schedule.project, "due": due.isoformat()}
        if why:
            await self._factory.events.append(SERVICE, "schedule.skipped", {**told, "why": why}, conn=conn)
        else:
            payload = {**told, "run": clock.new_id("run")}
            await self._queue.defer_in(conn, SUBMIT, payload, lock=f"schedule {schedule.id}")

    async def _submit(self, job: Job) -> None:
        schedule_id = str(job.payload["schedule"])
        async with self._factory.db.pool.connection() as conn:
            row = await queries.get(conn, schedule_id)
        if row is None:
            return  # taken away in the moment that it was due
        schedule = schedule_of(row, schedule_id)
        try:
            if schedule.work.inbox:
                await self._look(schedule, job)
            else:
                run_id = str(job.payload["run"])
                await give(
                    self._factory,
                    schedule.project,
                    schedule.work.requirement,
                    schedule.work,
                    by=schedule.created_by,
                    run_id=run_id,
                )
                faults.point("schedule.submitted")
                await self._say(schedule, job, "started", [run_id])
        except (DatabaseUnavailable, ModelUnavailable, Fenced):
            raise  # which comes again
        except FactoryError as refused:
            _log.warning("schedule.refused", schedule=schedule_id, error=str(refused))
            await self._say(schedule, job, f"refused: {redact(str(refused))[:1_000]}")

    async def _look(self, schedule: Schedule, job: Job) -> None:
        spent = await paying.exhausted(self._factory.services, schedule.project)
        found = await letters.look(
            self._factory, schedule.project, schedule.work, by=schedule.created_by, takes=not spent
        )
        said = f"{len(found.taken)} letters taken, {found.answered} answered, {found.unusable} unusable"
        await self._say(schedule, job, said + (f", no new ones: {spent}" if spent else ""), found.taken)

    async def _say(self, schedule: Schedule, job: Job, said: str, runs: Sequence[str] = ()) -> None:
        """Record what became of a time: on the schedule, and as an event for each run or refusal."""
        due = str(job.payload["due"])
        told: JsonObject = {"schedule": schedule.id, "project": schedule.project, "due": due}
        async with self._factory.db.pool.connection() as conn, conn.transaction():
            last = runs[-1] if runs else None
            await queries.say(conn, schedule.id, datetime.fromisoformat(due), said, run_id=last)
            for run_id in runs:
                began: JsonObject = {**told, "run": run_id, "by": schedule.created_by}
                key = f"schedule/{run_id}/started"
                await self._factory.events.append(SERVICE, "schedule.started", began, key=key, conn=conn)
            if said.startswith("refused"):
                refused: JsonObject = {**told, "why": said.removeprefix("refused: ")}
                key = f"schedule/{schedule.id}/{due}/refused"
                await self._factory.events.append(SERVICE, "schedule.refused", refused, key=key, conn=conn)
