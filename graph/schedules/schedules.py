"""The schedules of projects: made, listed, put to rest and taken away by people. Who does what they say
is graph/schedules/recurring.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from core import clock
from core.database import Database
from core.errors import NotFound
from core.events import SERVICE, EventLog
from core.json import JsonObject
from core.redaction import redact
from graph import queries as runs
from graph.requirement import checked_requirement
from graph.schedules import queries
from graph.schedules.times import ScheduleInvalid, Times

__all__ = ["NoSuchSchedule", "Schedule", "ScheduleInvalid", "Schedules", "Work"]


class NoSuchSchedule(NotFound):
    """There is no such schedule."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a run of a schedule is given."""

    requirement: str = ""
    """Empty where the letters of the project's inbox are the requirements."""
    inbox: bool = False
    pipeline: str = "full"
    approve_all: bool = False
    budget_usd: str | None = None
    """US dollars as text."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule."""

    id: str
    project: str
    work: Work
    times: Times
    next_at: datetime
    paused_at: datetime | None
    paused_by: str | None
    created_by: str
    created_at: datetime
    last_due: datetime | None
    """The last time that has come."""
    last_run: str | None
    """The last run that was made."""
    last_said: str | None
    """What became of the last time: started, skipped and why, refused and why."""

    def after(self, now: datetime) -> datetime:
        """The first time beyond `now`."""
        return self.times.after(self.next_at, now)


@dataclass(frozen=True)
class Schedules:
    """The table of schedules. Each change is an event of the service's own chain, with who made it."""

    db: Database
    events: EventLog

    async def add(
        self,
        project: str,
        work: Work,
        when: Times,
        *,
        by: str,
        schedule_id: str | None = None,
    ) -> Schedule:
        """A new schedule. Under a `schedule_id` that was given it is made once.

        Raises ScheduleInvalid, RequirementInvalid, and NotFound where there is no such project.
        """
        if work.inbox and work.requirement:
            raise ScheduleInvalid(
                "A schedule has a requirement or looks into the inbox, not both",
                untouched="No schedule was made",
            )
        example = 'factory schedule add PROJECT "…" --every 1d'
        text = "" if work.inbox else checked_requirement(work.requirement, example=example)
        schedule_id = schedule_id or clock.new_id("schedule")
        next_at = when.first(await self.db.now())
        payload = {**asdict(work), "requirement": text}
        async with self.db.pool.connection() as conn, conn.transaction():
            if not await runs.project_exists(conn, project):
                raise NotFound(
                    f"There is no project {project!r}",
                    untouched="No schedule was made",
                    todo="See `factory project list`",
                )
            await queries.insert(
                conn,
                id=schedule_id,
                project=project,
                kind="inbox" if work.inbox else "run",
                payload=payload,
                **asdict(when),
                next_at=next_at,
                by=redact(by),
            )
            told: JsonObject = {
                "times": str(when),
                "pipeline": work.pipeline,
                "approve_all": work.approve_all,
            }
            await self._tell(conn, "added", schedule_id, project, by, told, key=f"{schedule_id}/added")
        return await self.get(schedule_id)

    async def get(self, schedule_id: str) -> Schedule:
        """One of them. Raises NoSuchSchedule."""
        async with self.db.pool.connection() as conn:
            return schedule_of(await queries.get(conn, schedule_id), schedule_id)

    async def page(
        self, *, after: str | None = None, limit: int = 1_000, projects: Sequence[str] | None = None
    ) -> list[Schedule]:
        """They by id, beyond `after`; of `projects` only, where given."""
        named = None if projects is None else [*projects]
        async with self.db.pool.connection() as conn:
            rows = await queries.page(conn, after=after, limit=limit, projects=named)
        return [schedule_of(row, "") for row in rows]

    async def pause(self, schedule_id: str, *, by: str) -> Schedule:
        """Let it rest: no time of it comes until it is resumed. Raises NoSuchSchedule."""
        async with self.db.pool.connection() as conn, conn.transaction():
            found = schedule_of(await queries.get(conn, schedule_id, lock=True), schedule_id)
            if await queries.pause(conn, schedule_id, redact(by)):
                await self._tell(conn, "paused", schedule_id, found.project, by)
        return await self.get(schedule_id)

    async def resume(self, schedule_id: str, *, by: str) -> Schedule:
        """Let it go on with its next time; what came while it rested is not made up.

        Raises NoSuchSchedule.
        """
        async with self.db.pool.connection() as conn, conn.transaction():
            found = schedule_of(await queries.get(conn, schedule_id, lock=True), schedule_id)
            if found.paused_at is not None:
                now = await self.db.now(conn)
                ahead = found.next_at if found.next_at > now else found.after(now)
                await queries.resume(conn, schedule_id, ahead)
                await self._tell(conn, "resumed", schedule_id, found.project, by)
        return await self.get(schedule_id)

    async def remove(self, schedule_id: str, *, by: str) -> Schedule:
        """Take it away; runs that it has started go on. Raises NoSuchSchedule."""
        async with self.db.pool.connection() as conn, conn.transaction():
            found = schedule_of(await queries.get(conn, schedule_id, lock=True), schedule_id)
            await queries.delete(conn, schedule_id)
            await self._tell(conn, "removed", schedule_id, found.project, by)
        return found

    async def _tell(
        self,
        conn: queries.Connection,
        what: str,
        schedule_id: str,
        project: str,
        by: str,
        more: JsonObject | None = None,
        key: str | None = None,
    ) -> None:
        told: JsonObject = {"schedule": schedule_id, "project": project, "by": by, **(more or {})}
        await self.events.append(SERVICE, f"schedule.{what}", told, key=key, conn=conn)


def schedule_of(row: dict[str, Any] | None, schedule_id: str) -> Schedule:
    """The schedule that a row is. Raises NoSuchSchedule for none."""
    if row is None:
        raise NoSuchSchedule(
            f"There is no schedule {schedule_id[:80]!r}",
            untouched="Nothing was changed",
            todo="List them with: factory schedule list",
        )
    fields = {name: row[name] for name in Schedule.__slots__ if name not in {"work", "times"}}
    times = Times(row["cron"], row["timezone"], row["seconds"])
    return Schedule(work=Work(**row["payload"]), times=times, **fields)
