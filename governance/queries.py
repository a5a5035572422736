"""Every statement that touches the table `approvals`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

Connection = AsyncConnection[DictRow]


async def insert(conn: Connection, **values: Any) -> DictRow | None:
    """A new question; None when the run has asked under this key before."""
    values["detail"] = Jsonb(values["detail"])
    cursor = await conn.execute(
        """
        INSERT INTO approvals (id, run_id, kind, team, key, risk, title, question, detail, allowed,
                               default_answer, created_at, expires_at)
        VALUES (%(id)s, %(run_id)s, %(kind)s, %(team)s, %(key)s, %(risk)s, %(title)s, %(question)s,
                %(detail)s, %(allowed)s, %(default_answer)s, %(created_at)s, %(expires_at)s)
        ON CONFLICT (run_id, key) DO NOTHING
        RETURNING *
        """,
        values,
    )
    return await cursor.fetchone()


async def by_key(conn: Connection, run_id: str, key: str) -> DictRow | None:
    """What a run asked under a key."""
    cursor = await conn.execute("SELECT * FROM approvals WHERE run_id = %s AND key = %s", (run_id, key))
    return await cursor.fetchone()


async def by_id(conn: Connection, approval_id: str) -> DictRow | None:
    """One question."""
    cursor = await conn.execute("SELECT * FROM approvals WHERE id = %s", (approval_id,))
    return await cursor.fetchone()


PENDING: Final = """
SELECT * FROM approvals
WHERE decision IS NULL AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
ORDER BY created_at, id
"""
"""The questions nobody has decided, of one run or of all, oldest first."""


async def pending(conn: Connection, run_id: str | None) -> Sequence[DictRow]:
    """The questions nobody has decided, of one run or of all, oldest first."""
    return await (await conn.execute(PENDING, {"run_id": run_id})).fetchall()


async def page(
    conn: Connection,
    *,
    after: tuple[datetime, str] | None,
    limit: int,
    run_id: str | None,
    kind: str | None,
    decided: bool | None,
    projects: list[str] | None,
) -> Sequence[DictRow]:
    """Questions, the oldest first, those that come after a (created_at, id)."""
    at, last = after or (None, None)
    cursor = await conn.execute(
        """
        SELECT * FROM approvals
        WHERE (%(at)s::timestamptz IS NULL OR (created_at, id) > (%(at)s, %(last)s))
          AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
          AND (%(kind)s::text IS NULL OR kind = %(kind)s)
          AND (%(decided)s::boolean IS NULL OR (decision IS NOT NULL) = %(decided)s)
          AND (%(projects)s::text[] IS NULL OR run_id IN (
                SELECT r.id FROM runs r JOIN projects p ON p.id = r.project_id
                WHERE p.name = ANY (%(projects)s)))
        ORDER BY created_at, id LIMIT %(limit)s
        """,
        {
            "at": at,
            "last": last,
            "limit": limit,
            "run_id": run_id,
            "kind": kind,
            "decided": decided,
            "projects": projects,
        },
    )
    return await cursor.fetchall()


async def due(conn: Connection, now: datetime) -> Sequence[DictRow]:
    """The open questions whose deadline has passed."""
    cursor = await conn.execute(
        "SELECT * FROM approvals WHERE decision IS NULL AND expires_at <= %s ORDER BY expires_at, id", (now,)
    )
    return await cursor.fetchall()


async def close(conn: Connection, run_id: str, *, answer: str, by: str, at: datetime) -> Sequence[DictRow]:
    """Expire every open question of a run, in time or not: nobody is left to hear an answer."""
    cursor = await conn.execute(
        """
        UPDATE approvals
        SET decision = 'expired', answer = %(answer)s, decided_by = %(by)s, decided_at = %(at)s
        WHERE run_id = %(run_id)s AND decision IS NULL
        RETURNING *
        """,
        {"run_id": run_id, "answer": answer, "by": by, "at": at},
    )
    return await cursor.fetchall()


async def decide(
    conn: Connection, approval_id: str, *, decision: str, answer: str | None, by: str, at: datetime
) -> DictRow | None:
    """Decide a question that is open and in time: the one place where a decision is written. Else None."""
    cursor = await conn.execute(
        """
        UPDATE approvals
        SET decision = %(decision)s, answer = %(answer)s, decided_by = %(by)s, decided_at = %(at)s
        WHERE id = %(id)s AND decision IS NULL
          AND (%(decision)s = 'expired') = (expires_at IS NOT NULL AND expires_at <= %(at)s)
        RETURNING *
        """,
        {"id": approval_id, "decision": decision, "answer": answer, "by": by, "at": at},
    )
    return await cursor.fetchone()


async def decided_in_project(conn: Connection, run_id: str, prefix: str) -> Sequence[DictRow]:
    """What was decided about keys that begin so, in all runs of the run's project, oldest first."""
    cursor = await conn.execute(
        """
        SELECT a.* FROM approvals a JOIN runs r ON r.id = a.run_id
        WHERE r.project_id = (SELECT project_id FROM runs WHERE id = %s)
          AND starts_with(a.key, %s) AND a.decision IS NOT NULL
        ORDER BY a.decided_at, a.id
        """,
        (run_id, prefix),
    )
    return await cursor.fetchall()
