"""The table `protocol_crons`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import DictRow

from api.protocol.queries import Connection, every, jsonb, one, run

SORTABLE: Final = (
    "cron_id",
    "assistant_id",
    "thread_id",
    "next_run_date",
    "end_time",
    "created_at",
    "updated_at",
)

_INSERT = """
INSERT INTO factory.protocol_crons (cron_id, assistant_id, thread_id, schedule, timezone, payload, metadata,
    on_run_completed, enabled, by, end_time, next_run_date, created_at, updated_at)
VALUES (%(cron_id)s, %(assistant_id)s, %(thread_id)s, %(schedule)s, %(timezone)s, %(payload)s, %(metadata)s,
    %(on_run_completed)s, %(enabled)s, %(by)s, %(end_time)s, %(next_run_date)s, %(now)s, %(now)s)
RETURNING *
"""

_UPDATE = """
UPDATE factory.protocol_crons SET schedule = %(schedule)s, timezone = %(timezone)s, payload = %(payload)s,
    metadata = %(metadata)s, on_run_completed = %(on_run_completed)s, enabled = %(enabled)s,
    end_time = %(end_time)s, next_run_date = %(next_run_date)s, updated_at = %(now)s
WHERE cron_id = %(cron_id)s RETURNING *
"""

_WHERE = """
WHERE metadata @> %(metadata)s AND (%(assistant_id)s::uuid IS NULL OR assistant_id = %(assistant_id)s)
  AND (%(thread_id)s::uuid IS NULL OR thread_id = %(thread_id)s)
  AND (%(enabled)s::boolean IS NULL OR enabled = %(enabled)s)
"""

_DUE = """
SELECT * FROM factory.protocol_crons
WHERE enabled AND next_run_date <= %(now)s AND (end_time IS NULL OR end_time > %(now)s)
ORDER BY next_run_date LIMIT 1 FOR UPDATE SKIP LOCKED
"""


async def insert(conn: Connection, *, now: datetime, **values: Any) -> DictRow:
    """A new cron."""
    values["payload"], values["metadata"] = jsonb(values["payload"]), jsonb(values["metadata"])
    row = await one(conn, _INSERT, {**values, "now": now})
    assert row is not None
    return row


async def update(conn: Connection, *, now: datetime, **values: Any) -> DictRow | None:
    """A cron as it is to be from now on."""
    values["payload"], values["metadata"] = jsonb(values["payload"]), jsonb(values["metadata"])
    return await one(conn, _UPDATE, {**values, "now": now})


async def get(conn: Connection, cron_id: UUID) -> DictRow | None:
    """One cron."""
    return await one(conn, "SELECT * FROM factory.protocol_crons WHERE cron_id = %(id)s", {"id": cron_id})


async def search(conn: Connection, *, order: str, limit: int, offset: int, **match: Any) -> list[DictRow]:
    """Those that match; `order` is made of SORTABLE and a direction."""
    match["metadata"] = jsonb(match["metadata"])
    statement = (
        f"SELECT * FROM factory.protocol_crons {_WHERE} ORDER BY {order} LIMIT %(limit)s OFFSET %(offset)s"  # noqa: S608
    )
    return await every(conn, statement, {**match, "limit": limit, "offset": offset})


async def count(conn: Connection, **match: Any) -> int:
    """How many match."""
    match["metadata"] = jsonb(match["metadata"])
    row = await one(conn, f"SELECT count(*) AS n FROM factory.protocol_crons {_WHERE}", match)  # noqa: S608
    return row["n"] if row else 0


async def delete(conn: Connection, cron_id: UUID) -> int:
    """Forget a cron."""
    return await run(conn, "DELETE FROM factory.protocol_crons WHERE cron_id = %(id)s", {"id": cron_id})


async def due(conn: Connection, now: datetime) -> DictRow | None:
    """A cron whose moment has come; nobody else is given it while this transaction lasts."""
    return await one(conn, _DUE, {"now": now})


async def set_next(conn: Connection, cron_id: UUID, next_run_date: datetime | None) -> None:
    """When it is to run again; None: never."""
    statement = "UPDATE factory.protocol_crons SET next_run_date = %(next)s WHERE cron_id = %(id)s"
    await run(conn, statement, {"id": cron_id, "next": next_run_date})
