"""Several statements in one round trip: to wait for an answer costs more than most statements."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, LiteralString

from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow

from core.incarnation import Connection

Asked = tuple[LiteralString, Mapping[str, Any]]
"""A statement and its parameters."""


async def rows_of(conn: Connection, *asked: Asked) -> list[list[DictRow]]:
    """What each of the statements gives, in their order."""
    async with conn.pipeline():
        cursors = [await conn.execute(statement, values) for statement, values in asked]
    return [await cursor.fetchall() for cursor in cursors]


@asynccontextmanager
async def transaction(conn: Connection) -> AsyncGenerator[None]:
    """A transaction that waits only for what is fetched inside; all that comes after it goes with COMMIT.

    So a failure may show at the end only. Nothing of the transaction is done then.
    """
    try:
        async with conn.pipeline(), conn.transaction():
            yield
    except BaseException:
        # COMMIT was sent behind the statement that failed, and skipped.
        if conn.info.transaction_status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}:
            await conn.rollback()
        raise
