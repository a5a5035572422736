"""Every statement about which runs of a project are active, and which wait for them."""

from __future__ import annotations

from typing import Final, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import DictRow

Connection = AsyncConnection[DictRow]

ACTIVE: Final[LiteralString] = """
    (p.status <> ALL (%(ended)s)
     AND NOT (p.status = 'paused' AND p.wanted ->> 'what' IS NOT DISTINCT FROM 'pause'))
"""
"""Whether the run `p` could go on; `ended` are the statuses of runs that cannot."""

HELD_BACK: Final[LiteralString] = f"""
    EXISTS (SELECT FROM runs p WHERE r.status = 'draft' AND r.options ? 'after'
            AND p.id IN (SELECT jsonb_array_elements_text(r.options -> 'after')) AND {ACTIVE})
"""
"""Whether the run `r` waits for another one."""


async def active(conn: Connection, project_id: str, ended: list[str]) -> list[str]:
    """The runs of a project that could go on, the oldest first."""
    cursor = await conn.execute(
        f"SELECT p.id FROM runs p WHERE p.project_id = %(project)s AND {ACTIVE} ORDER BY p.created_at, p.id",  # noqa: S608
        {"project": project_id, "ended": ended},
    )
    return [str(row["id"]) for row in await cursor.fetchall()]


async def behind(conn: Connection, run_id: str, ended: list[str]) -> list[str]:
    """The runs that a run still waits for, the oldest first."""
    cursor = await conn.execute(
        f"""SELECT p.id FROM runs r
            JOIN runs p ON p.id IN (SELECT jsonb_array_elements_text(r.options -> 'after'))
            WHERE r.id = %(run)s AND r.status = 'draft' AND r.options ? 'after' AND {ACTIVE}
            ORDER BY p.created_at, p.id""",  # noqa: S608
        {"run": run_id, "ended": ended},
    )
    return [str(row["id"]) for row in await cursor.fetchall()]


async def unheeded(conn: Connection, ended: list[str]) -> list[str]:
    """Runs that are to be cancelled or paused, and are not yet."""
    cursor = await conn.execute(
        """SELECT id FROM runs WHERE wanted IS NOT NULL AND status <> ALL (%s)
             AND (wanted ->> 'what' = 'cancel' OR status <> 'paused') ORDER BY id LIMIT 20""",
        (ended,),
    )
    return [str(row["id"]) for row in await cursor.fetchall()]
