"""Every statement about `schedules`. Time is the database's."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

Connection = AsyncConnection[DictRow]

_COLUMNS: Final[LiteralString] = """
    s.id, s.project, s.kind, s.payload, s.cron, s.timezone, s.seconds, s.next_at, s.paused_at, s.paused_by,
    s.created_by, s.created_at, s.last_due, s.last_run, s.last_said
"""


async def insert(conn: Connection, **values: Any) -> None:
    """A new schedule."""
    values["payload"] = Jsonb(values["payload"])
    await conn.execute(
        """INSERT INTO factory.schedules
             (id, project, kind, payload, cron, timezone, seconds, next_at, created_by)
           VALUES (%(id)s, %(project)s, %(kind)s, %(payload)s, %(cron)s, %(timezone)s, %(seconds)s,
                   %(next_at)s, %(by)s)
           ON CONFLICT (id) DO NOTHING""",
        values,
    )


async def page(
    conn: Connection, *, after: str | None, limit: int, projects: list[str] | None
) -> list[DictRow]:
    """Schedules by id, beyond `after`."""
    cursor = await conn.execute(
        f"""SELECT {_COLUMNS} FROM factory.schedules s
            WHERE (%(after)s::text IS NULL OR s.id > %(after)s)
              AND (%(projects)s::text[] IS NULL OR s.project = ANY (%(projects)s))
            ORDER BY s.id LIMIT %(limit)s""",  # noqa: S608
        {"after": after, "limit": limit, "projects": projects},
    )
    return await cursor.fetchall()


async def get(conn: Connection, schedule_id: str, *, lock: bool = False) -> DictRow | None:
    """One schedule; with `lock`, nobody else changes it until the transaction ends."""
    how: LiteralString = "FOR UPDATE" if lock else ""
    cursor = await conn.execute(
        f"SELECT {_COLUMNS} FROM factory.schedules s WHERE s.id = %s {how}",  # noqa: S608
        (schedule_id,),
    )
    return await cursor.fetchone()


async def due(conn: Connection, now: datetime) -> DictRow | None:
    """A schedule whose time has come; nobody else is given it while this transaction lasts."""
    cursor = await conn.execute(
        f"""SELECT {_COLUMNS} FROM factory.schedules s
            WHERE s.paused_at IS NULL AND s.next_at <= %s
            ORDER BY s.next_at LIMIT 1 FOR UPDATE SKIP LOCKED""",  # noqa: S608
        (now,),
    )
    return await cursor.fetchone()


async def came(conn: Connection, schedule_id: str, *, next_at: datetime, due_at: datetime, said: str) -> None:
    """Record that a time has come, what became of it, and when the next one is."""
    await conn.execute(
        "UPDATE factory.schedules SET next_at = %s, last_due = %s, last_said = %s WHERE id = %s",
        (next_at, due_at, said, schedule_id),
    )


async def say(conn: Connection, schedule_id: str, due_at: datetime, said: str, *, run_id: str | None) -> None:
    """Record what became of a time, if no later one has come, and the run that was made."""
    await conn.execute(
        """UPDATE factory.schedules SET last_said = CASE WHEN last_due = %s THEN %s ELSE last_said END,
             last_run = coalesce(%s, last_run) WHERE id = %s""",
        (due_at, said, run_id, schedule_id),
    )


async def pause(conn: Connection, schedule_id: str, by: str) -> bool:
    """Let it rest; False where it does."""
    cursor = await conn.execute(
        """UPDATE factory.schedules SET paused_at = clock_timestamp(), paused_by = %s
           WHERE id = %s AND paused_at IS NULL""",
        (by, schedule_id),
    )
    return cursor.rowcount == 1


async def resume(conn: Connection, schedule_id: str, next_at: datetime) -> None:
    """Let it go on."""
    await conn.execute(
        "UPDATE factory.schedules SET paused_at = NULL, paused_by = NULL, next_at = %s WHERE id = %s",
        (next_at, schedule_id),
    )


async def delete(conn: Connection, schedule_id: str) -> bool:
    """Take it away; False where it was not there."""
    cursor = await conn.execute("DELETE FROM factory.schedules WHERE id = %s", (schedule_id,))
    return cursor.rowcount == 1


async def under_way(conn: Connection, schedule_id: str, ended: list[str]) -> str:
    """What a schedule's last time still does, in words; empty where it is over."""
    cursor = await conn.execute(
        """SELECT r.id || ' is ' || replace(r.status, '_', ' ') AS said
           FROM factory.schedules s JOIN factory.runs r ON r.id = s.last_run
           WHERE s.id = %(id)s AND s.kind = 'run' AND r.status <> ALL (%(ended)s)
           UNION ALL
           SELECT 'the last time is still being submitted' FROM factory.procrastinate_jobs j
           WHERE j.lock = 'schedule ' || %(id)s AND j.status IN ('todo', 'doing')
           LIMIT 1""",
        {"id": schedule_id, "ended": ended},
    )
    row = await cursor.fetchone()
    return "" if row is None else str(row["said"])
