"""The table `protocol_threads`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from api.protocol.queries import Connection, ask, every, jsonb, nullable, one, run, runs

SORTABLE: Final = ("thread_id", "status", "created_at", "updated_at", "state_updated_at")

_INSERT = """
INSERT INTO factory.protocol_threads (thread_id, status, metadata, config, values, interrupts, of_run,
                                      hidden, ttl, expires_at, created_at, updated_at, state_updated_at)
VALUES (%(thread_id)s, 'idle', %(metadata)s, %(config)s, NULL, '{}', %(of_run)s, %(hidden)s, %(ttl)s,
        %(expires_at)s,
        %(now)s, %(now)s, %(now)s)
ON CONFLICT DO NOTHING
RETURNING *
"""

_GET = "SELECT * FROM factory.protocol_threads WHERE thread_id = %(id)s"

_WHERE = """
WHERE NOT hidden AND metadata @> %(metadata)s AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(values)s::jsonb IS NULL OR values @> %(values)s)
  AND (%(ids)s::uuid[] IS NULL OR thread_id = ANY (%(ids)s::uuid[]))
  AND (expires_at IS NULL OR expires_at > now())
  AND (%(projects)s::text[] IS NULL OR of_run IN (
      SELECT r.id FROM factory.runs r JOIN factory.projects p ON p.id = r.project_id
      WHERE p.name = ANY (%(projects)s::text[])))
"""

_PATCH = """
UPDATE factory.protocol_threads SET metadata = metadata || %(metadata)s, updated_at = %(now)s,
    ttl = coalesce(%(ttl)s, ttl), expires_at = coalesce(%(expires_at)s, expires_at)
WHERE thread_id = %(thread_id)s RETURNING *
"""

_SETTLE = """
UPDATE factory.protocol_threads SET status = %(status)s, values = coalesce(%(values)s, values),
    interrupts = coalesce(%(interrupts)s, interrupts), error = %(error)s, updated_at = %(now)s,
    state_updated_at = %(now)s, expires_at = coalesce(%(expires_at)s, expires_at)
WHERE thread_id = %(thread_id)s
"""

# Every run of the factory is a thread too, whatever surface it came through.
_SHOW_RUNS = """
INSERT INTO factory.protocol_threads (thread_id, status, metadata, config, interrupts, of_run, created_at,
                                      updated_at, state_updated_at)
SELECT %(thread_id)s, 'idle', %(metadata)s, '{}', '{}', r.id, r.created_at, r.created_at, r.created_at
FROM factory.runs r WHERE r.id = %(of_run)s
ON CONFLICT DO NOTHING
"""

_UNSHOWN = """
SELECT r.id, r.pipeline FROM factory.runs r
WHERE NOT EXISTS (SELECT FROM factory.protocol_threads t WHERE t.of_run = r.id)
ORDER BY r.created_at
"""

_STALE = """
SELECT t.* FROM factory.protocol_threads t JOIN factory.runs r ON r.id = t.of_run
WHERE (NOT r.status = ANY (%(ended)s) OR r.updated_at > t.state_updated_at OR t.values IS NULL)
ORDER BY r.created_at DESC LIMIT 200
"""


async def insert(
    conn: Connection,
    thread_id: UUID,
    *,
    now: datetime,
    metadata: dict[str, Any],
    config: dict[str, Any] | None = None,
    of_run: str | None = None,
    hidden: bool = False,
    ttl: dict[str, Any] | None = None,
    expires_at: datetime | None = None,
) -> AsyncCursor[DictRow]:
    """A new thread; no row where the id is taken."""
    values = {
        "thread_id": thread_id,
        "metadata": jsonb(metadata),
        "config": jsonb(config or {}),
        "of_run": of_run,
        "hidden": hidden,
        "ttl": nullable(ttl),
        "expires_at": expires_at,
        "now": now,
    }
    return await ask(conn, _INSERT, values)


async def get(conn: Connection, thread_id: UUID, *, lock: bool = False) -> DictRow | None:
    """One thread. With `lock`, nobody else starts a run on it in the meantime."""
    return await one(conn, _GET + (" FOR UPDATE" if lock else ""), {"id": thread_id})


async def hold(conn: Connection, thread_id: UUID) -> None:
    """Have nobody else start a run on a thread until the transaction ends."""
    await ask(
        conn, "SELECT FROM factory.protocol_threads WHERE thread_id = %(id)s FOR UPDATE", {"id": thread_id}
    )


async def locked(
    conn: Connection, thread_id: UUID, *, make_at: datetime | None = None
) -> tuple[DictRow | None, list[DictRow]]:
    """A thread that nobody else starts a run on until the transaction ends, and its runs that have not ended.

    With `make_at` it is made where it is not there. In a pipeline all of it is one trip to the database.
    """
    if make_at is not None:
        await insert(conn, thread_id, now=make_at, metadata={})
    thread = await ask(conn, _GET + " FOR UPDATE", {"id": thread_id})
    # A statement of its own: what has changed while the thread was waited for is seen.
    active = await runs.asked_active(conn, thread_id)
    return await thread.fetchone(), await active.fetchall()


async def project_of(conn: Connection, thread_id: UUID) -> DictRow | None:
    """The `project` of the run that a thread shows, NULL where it shows none; None: there is no thread."""
    statement = """
        SELECT p.name AS project FROM factory.protocol_threads t
        LEFT JOIN factory.runs r ON r.id = t.of_run LEFT JOIN factory.projects p ON p.id = r.project_id
        WHERE t.thread_id = %(id)s"""
    return await one(conn, statement, {"id": thread_id})


async def of_run(conn: Connection, run_id: str) -> DictRow | None:
    """The thread that shows a run of the factory."""
    return await one(conn, "SELECT * FROM factory.protocol_threads WHERE of_run = %(id)s", {"id": run_id})


def _matching(
    metadata: dict[str, Any], values: object, status: str | None, ids: object, projects: list[str] | None
) -> dict[str, Any]:
    given = {"metadata": jsonb(metadata), "values": nullable(values), "status": status}
    return {**given, "ids": ids, "projects": projects}


async def search(
    conn: Connection,
    *,
    metadata: dict[str, Any],
    values: dict[str, Any] | None,
    status: str | None,
    ids: Sequence[UUID] | None,
    projects: list[str] | None,
    order: str,
    limit: int,
    offset: int,
) -> list[DictRow]:
    """Those that match; `order` is made of SORTABLE and a direction. `projects`: only runs of these."""
    given = {**_matching(metadata, values, status, ids, projects), "limit": limit, "offset": offset}
    statement = (
        f"SELECT * FROM factory.protocol_threads {_WHERE} ORDER BY {order} LIMIT %(limit)s OFFSET %(offset)s"  # noqa: S608
    )
    return await every(conn, statement, given)


async def count(
    conn: Connection,
    *,
    metadata: dict[str, Any],
    values: dict[str, Any] | None,
    status: str | None,
    projects: list[str] | None,
) -> int:
    """How many match."""
    given = _matching(metadata, values, status, None, projects)
    row = await one(conn, f"SELECT count(*) AS n FROM factory.protocol_threads {_WHERE}", given)  # noqa: S608
    return row["n"] if row else 0


async def patch(
    conn: Connection,
    thread_id: UUID,
    *,
    metadata: dict[str, Any],
    ttl: dict[str, Any] | None,
    expires_at: datetime | None,
    now: datetime,
) -> DictRow | None:
    """Merge metadata in, and set how long the thread lives."""
    values = {
        "thread_id": thread_id,
        "metadata": jsonb(metadata),
        "ttl": nullable(ttl),
        "expires_at": expires_at,
        "now": now,
    }
    return await one(conn, _PATCH, values)


async def settle(
    conn: Connection,
    thread_id: UUID,
    *,
    status: str,
    values: object,
    interrupts: object,
    error: object,
    now: datetime,
    expires_at: datetime | None = None,
) -> None:
    """What a run, or a change of state, left behind. None for values, interrupts or expires_at: they stay."""
    given = {
        "thread_id": thread_id,
        "status": status,
        "values": nullable(values),
        "interrupts": nullable(interrupts),
        "error": nullable(error),
        "expires_at": expires_at,
        "now": now,
    }
    await ask(conn, _SETTLE, given)


async def set_run(conn: Connection, thread_id: UUID, run_id: str) -> None:
    """The thread shows a run of the factory from now on."""
    statement = "UPDATE factory.protocol_threads SET of_run = %(run)s WHERE thread_id = %(id)s"
    await run(conn, statement, {"id": thread_id, "run": run_id})


async def unshown(conn: Connection) -> list[DictRow]:
    """The factory's runs that no thread shows yet: id, pipeline."""
    return await every(conn, _UNSHOWN, {})


async def stale(conn: Connection, ended: list[str]) -> list[DictRow]:
    """Threads of the factory's runs that have moved since they were looked at, or may have."""
    return await every(conn, _STALE, {"ended": ended})


async def show(conn: Connection, thread_id: UUID, run_id: str, metadata: dict[str, Any]) -> None:
    """Make the thread of a factory's run."""
    await run(conn, _SHOW_RUNS, {"thread_id": thread_id, "of_run": run_id, "metadata": jsonb(metadata)})


async def delete(conn: Connection, thread_id: UUID) -> int:
    """Forget a thread with its runs and their streams."""
    return await run(conn, "DELETE FROM factory.protocol_threads WHERE thread_id = %(id)s", {"id": thread_id})


async def expired(conn: Connection, now: datetime) -> list[DictRow]:
    """Threads that have outlived their time, that nobody works on or is still to be told of."""
    statement = """
        SELECT thread_id FROM factory.protocol_threads t
        WHERE expires_at <= %(now)s AND status <> 'busy' AND of_run IS NULL
          AND NOT EXISTS (
              SELECT FROM factory.webhook_deliveries d
              JOIN factory.protocol_runs r ON r.run_id = d.protocol_run
              WHERE r.thread_id = t.thread_id AND d.state = 'pending')
        LIMIT 100"""
    return await every(conn, statement, {"now": now})
