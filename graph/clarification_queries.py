"""Every statement about what teams ask each other."""

from __future__ import annotations

from datetime import datetime

from psycopg.rows import DictRow

from graph.queries import Connection


async def page_of_clarifications(
    conn: Connection,
    *,
    after: tuple[datetime, str] | None,
    limit: int,
    run_id: str | None,
    status: str | None,
    projects: list[str] | None,
) -> list[DictRow]:
    """Questions of teams to each other, the oldest first, those that come after a (created_at, id)."""
    at, last = after or (None, None)
    cursor = await conn.execute(
        """SELECT c.id, c.run_id, p.name AS project, c.asker, c.target, c.question, c.answer, c.status,
             c.reason, c.depth, c.chain, c.created_at, c.answered_at
           FROM clarifications c JOIN runs r ON r.id = c.run_id JOIN projects p ON p.id = r.project_id
           WHERE (%(at)s::timestamptz IS NULL OR (c.created_at, c.id) > (%(at)s, %(last)s))
             AND (%(run_id)s::text IS NULL OR c.run_id = %(run_id)s)
             AND (%(status)s::text IS NULL OR c.status = %(status)s)
             AND (%(projects)s::text[] IS NULL OR p.name = ANY (%(projects)s))
           ORDER BY c.created_at, c.id LIMIT %(limit)s""",
        {"at": at, "last": last, "limit": limit, "run_id": run_id, "status": status, "projects": projects},
    )
    return await cursor.fetchall()


async def clarification(conn: Connection, clarification_id: str) -> DictRow | None:
    """One question of a team to another."""
    cursor = await conn.execute(
        """SELECT c.id, c.run_id, p.name AS project, c.asker, c.target, c.question, c.answer, c.status,
             c.reason, c.depth, c.chain, c.created_at, c.answered_at
           FROM clarifications c JOIN runs r ON r.id = c.run_id JOIN projects p ON p.id = r.project_id
           WHERE c.id = %s""",
        (clarification_id,),
    )
    return await cursor.fetchone()


async def insert_clarification(
    conn: Connection,
    *,
    clarification_id: str,
    run_id: str,
    objective_id: str,
    asker: str,
    target: str,
    question: str,
    status: str,
    reason: str | None,
    depth: int,
    chain: list[str],
    key: str,
) -> None:
    """Record a question of one team to another, once per (run, key)."""
    await conn.execute(
        """INSERT INTO clarifications
             (id, run_id, objective_id, asker, target, question, status, reason, depth, chain, key,
              created_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now())
           ON CONFLICT (run_id, key) DO NOTHING""",
        (clarification_id, run_id, objective_id, asker, target, question, status, reason, depth, chain, key),
    )


async def select_clarification(conn: Connection, run_id: str, key: str) -> DictRow | None:
    """How a question stands."""
    cursor = await conn.execute(
        "SELECT status, answer, reason FROM clarifications WHERE run_id = %s AND key = %s", (run_id, key)
    )
    return await cursor.fetchone()


async def settle_clarification(
    conn: Connection, run_id: str, key: str, *, status: str, answer: str | None, reason: str | None = None
) -> None:
    """Record how a question ended."""
    await conn.execute(
        """UPDATE clarifications SET status = %s, answer = coalesce(%s, answer),
             reason = coalesce(%s, reason), answered_at = now() WHERE run_id = %s AND key = %s""",
        (status, answer, reason, run_id, key),
    )
