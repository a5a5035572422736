"""The tables `protocol_assistants` and `protocol_versions`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import DictRow

from api.protocol.queries import Connection, every, jsonb, one, run

SORTABLE: Final = ("assistant_id", "created_at", "updated_at", "name", "graph_id")

_INSERT = """
WITH made AS (
    INSERT INTO factory.protocol_assistants (assistant_id, graph_id, version, latest, name, description,
                                             config, context, metadata, created_at, updated_at)
    VALUES (%(assistant_id)s, %(graph_id)s, 1, 1, %(name)s, %(description)s, %(config)s, %(context)s,
            %(metadata)s, %(now)s, %(now)s)
    ON CONFLICT (assistant_id) DO NOTHING
    RETURNING *
), noted AS (
    INSERT INTO factory.protocol_versions (assistant_id, version, graph_id, name, description, config,
                                           context, metadata, created_at)
    SELECT assistant_id, version, graph_id, name, description, config, context, metadata, created_at FROM made
)
SELECT * FROM made
"""

_WHERE = """
WHERE metadata @> %(metadata)s AND (%(graph_id)s::text IS NULL OR graph_id = %(graph_id)s)
  AND (%(name)s::text IS NULL OR strpos(lower(name), lower(%(name)s)) > 0)
"""

# The new version is one more than any that was given out, and the one in force.
_CHANGE = """
WITH changed AS (
    UPDATE factory.protocol_assistants SET
        version = latest + 1, latest = latest + 1, updated_at = %(now)s, graph_id = %(graph_id)s,
        name = %(name)s, description = %(description)s, config = %(config)s, context = %(context)s,
        metadata = %(metadata)s
    WHERE assistant_id = %(assistant_id)s
    RETURNING *
), noted AS (
    INSERT INTO factory.protocol_versions (assistant_id, version, graph_id, name, description, config,
                                           context, metadata, created_at)
    SELECT assistant_id, version, graph_id, name, description, config, context, metadata, updated_at
    FROM changed
)
SELECT * FROM changed
"""

_SET_VERSION = """
UPDATE factory.protocol_assistants a SET
    version = v.version, updated_at = %(now)s, graph_id = v.graph_id, name = v.name,
    description = v.description, config = v.config, context = v.context, metadata = v.metadata
FROM factory.protocol_versions v
WHERE a.assistant_id = %(assistant_id)s AND v.assistant_id = a.assistant_id AND v.version = %(version)s
RETURNING a.*
"""


async def insert(conn: Connection, *, now: datetime, **values: Any) -> DictRow | None:
    """A new assistant of version 1; None where the id is taken."""
    for name in ("config", "context", "metadata"):
        values[name] = jsonb(values[name])
    return await one(conn, _INSERT, {**values, "now": now})


async def get(conn: Connection, assistant_id: UUID, *, lock: bool = False) -> DictRow | None:
    """One assistant."""
    statement = "SELECT * FROM factory.protocol_assistants WHERE assistant_id = %(id)s"
    return await one(conn, statement + (" FOR UPDATE" if lock else ""), {"id": assistant_id})


async def search(
    conn: Connection,
    *,
    metadata: dict[str, Any],
    graph_id: str | None,
    name: str | None,
    order: str,
    limit: int,
    offset: int,
) -> list[DictRow]:
    """Those that match; `order` is made of SORTABLE and a direction."""
    values = {
        "metadata": jsonb(metadata),
        "graph_id": graph_id,
        "name": name,
        "limit": limit,
        "offset": offset,
    }
    ordered = f"{_WHERE} ORDER BY {order} LIMIT %(limit)s OFFSET %(offset)s"
    statement = f"SELECT * FROM factory.protocol_assistants {ordered}"  # noqa: S608
    return await every(conn, statement, values)


async def count(conn: Connection, *, metadata: dict[str, Any], graph_id: str | None, name: str | None) -> int:
    """How many match."""
    values = {"metadata": jsonb(metadata), "graph_id": graph_id, "name": name}
    row = await one(conn, f"SELECT count(*) AS n FROM factory.protocol_assistants {_WHERE}", values)  # noqa: S608
    return row["n"] if row else 0


async def change(conn: Connection, *, now: datetime, **values: Any) -> DictRow | None:
    """A new version of an assistant, which is in force from now on."""
    for name in ("config", "context", "metadata"):
        values[name] = jsonb(values[name])
    return await one(conn, _CHANGE, {**values, "now": now})


async def versions(
    conn: Connection, assistant_id: UUID, *, metadata: dict[str, Any], limit: int, offset: int
) -> Sequence[DictRow]:
    """The versions of an assistant, the newest first."""
    statement = """
        SELECT * FROM factory.protocol_versions WHERE assistant_id = %(id)s AND metadata @> %(metadata)s
        ORDER BY version DESC LIMIT %(limit)s OFFSET %(offset)s"""
    values = {"id": assistant_id, "metadata": jsonb(metadata), "limit": limit, "offset": offset}
    return await every(conn, statement, values)


async def set_version(conn: Connection, assistant_id: UUID, version: int, now: datetime) -> DictRow | None:
    """Put an older or newer version in force; None where there is none of that number."""
    return await one(conn, _SET_VERSION, {"assistant_id": assistant_id, "version": version, "now": now})


async def delete(conn: Connection, assistant_id: UUID) -> int:
    """Forget an assistant and its versions."""
    statement = "DELETE FROM factory.protocol_assistants WHERE assistant_id = %(id)s"
    return await run(conn, statement, {"id": assistant_id})
