"""Crons: runs at the times of a schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg.rows import DictRow

from api.protocol import assistants
from api.protocol.errors import CronNotFound
from api.protocol.opened import AgentProtocol
from api.protocol.queries import crons as queries
from api.protocol.wanted import CronPatch, CronWanted
from graph.schedules import ScheduleInvalid, next_time

_OWN = frozenset({"schedule", "timezone", "end_time", "metadata", "on_run_completed", "enabled"})


def _moment(given: str | None) -> datetime | None:
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise ScheduleInvalid(
            f"end_time {given[:40]!r} is no time", todo="Write it as 2030-01-01T00:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def create(protocol: AgentProtocol, wanted: CronWanted, thread_id: UUID | None, by: str) -> DictRow:
    """A new cron; raises AssistantNotFound, ScheduleInvalid."""
    end = _moment(wanted.end_time)
    now = await protocol.db.now()
    upcoming = next_time(wanted.schedule, wanted.timezone, now)
    payload: dict[str, Any] = wanted.model_dump(exclude_none=True, exclude=set(_OWN))
    async with protocol.db.pool.connection() as conn:
        assistant = await assistants.find(conn, wanted.assistant_id)
        protocol.graphs.get(assistant["graph_id"])
        return await queries.insert(
            conn,
            now=now,
            cron_id=uuid4(),
            assistant_id=assistant["assistant_id"],
            thread_id=thread_id,
            schedule=wanted.schedule,
            timezone=wanted.timezone,
            payload=payload,
            metadata=wanted.metadata or {},
            on_run_completed=wanted.on_run_completed or ("delete" if thread_id is None else None),
            enabled=wanted.enabled,
            by=by,
            end_time=end,
            next_run_date=upcoming,
        )


async def get(protocol: AgentProtocol, cron_id: UUID) -> DictRow:
    """One cron; raises CronNotFound."""
    async with protocol.db.pool.connection() as conn:
        row = await queries.get(conn, cron_id)
    if row is None:
        raise CronNotFound(f"There is no cron {cron_id}")
    return row


async def change(protocol: AgentProtocol, cron_id: UUID, wanted: CronPatch) -> DictRow:
    """Change a cron; raises CronNotFound, ScheduleInvalid."""
    before = await get(protocol, cron_id)
    given = wanted.model_dump(exclude_unset=True)
    after: dict[str, Any] = {name: given.get(name, before[name]) for name in _OWN}
    if "end_time" in given:
        after["end_time"] = _moment(given["end_time"])
    payload = {name: value for name, value in given.items() if name not in _OWN}
    now = await protocol.db.now()
    upcoming = next_time(after["schedule"], after["timezone"], now)
    async with protocol.db.pool.connection() as conn:
        row = await queries.update(
            conn,
            now=now,
            cron_id=cron_id,
            payload={**before["payload"], **payload},
            next_run_date=upcoming,
            **after,
        )
    if row is None:
        raise CronNotFound(f"There is no cron {cron_id}")
    return row
