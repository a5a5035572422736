"""Every statement that touches the tables `protocol_…`, a module per noun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.protocol.encoding import text_of

Connection = AsyncConnection[DictRow]
Line = tuple[str, str, str]
"""A line of a run's stream: its form (`stream`, or `event` of the thread's), its event, its data as JSON."""


def jsonb(value: object) -> Jsonb:
    """A parameter of type jsonb; messages and other values of graphs are written as their JSON."""
    return Jsonb(value, dumps=text_of)


def nullable(value: object) -> Jsonb | None:
    """The same, and NULL for None."""
    return None if value is None else jsonb(value)


def columns(lines: Sequence[Line]) -> dict[str, list[str]]:
    """Lines as three parameters of a statement."""
    return {
        "forms": [form for form, _, _ in lines],
        "events": [event for _, event, _ in lines],
        "data": [data for _, _, data in lines],
    }


async def ask(conn: Connection, statement: str, values: dict[str, Any]) -> AsyncCursor[DictRow]:
    """Send a statement. In a pipeline its result is waited for where it is read: several go at once."""
    return await conn.execute(statement.encode(), values)


async def one(conn: Connection, statement: str, values: dict[str, Any]) -> DictRow | None:
    """The first row of a statement's result."""
    return await (await conn.execute(statement.encode(), values)).fetchone()


async def every(conn: Connection, statement: str, values: dict[str, Any]) -> list[DictRow]:
    """All rows of a statement's result."""
    return await (await conn.execute(statement.encode(), values)).fetchall()


async def run(conn: Connection, statement: str, values: dict[str, Any]) -> int:
    """How many rows a statement changed."""
    return (await conn.execute(statement.encode(), values)).rowcount
