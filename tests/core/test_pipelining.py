"""Several statements in one round trip are still one transaction."""

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from core import pipelining
from core.database import Database
from core.incarnation import Connection

TABLE = "CREATE TEMPORARY TABLE kept (n int PRIMARY KEY)"


async def test_the_rows_come_in_the_order_of_the_statements(database: Database) -> None:
    async with database.pool.connection() as conn:
        one, none, two = await pipelining.rows_of(
            conn,
            ("SELECT %(n)s::int AS n", {"n": 1}),
            ("SELECT 1 AS n WHERE false", {}),
            ("SELECT generate_series(1, %(n)s::int) AS n", {"n": 2}),
        )
    assert (one, none, two) == ([{"n": 1}], [], [{"n": 1}, {"n": 2}])


async def test_what_was_sent_without_waiting_is_committed(database: Database) -> None:
    async with database.pool.connection() as conn:
        await conn.execute(TABLE)
        async with pipelining.transaction(conn):
            cursor = await conn.execute("INSERT INTO kept VALUES (1) RETURNING n")
            assert await cursor.fetchone() == {"n": 1}
            await conn.execute("INSERT INTO kept VALUES (2)")
        assert await (await conn.execute("SELECT count(*) AS n FROM kept")).fetchone() == {"n": 2}


async def _insert(conn: Connection, *numbers: int, then: Exception | None = None) -> None:
    async with pipelining.transaction(conn):
        for number in numbers:
            await conn.execute("INSERT INTO kept VALUES (%s)", (number,))
        if then is not None:
            raise then


async def _is_undone(conn: Connection) -> bool:
    idle = conn.info.transaction_status == TransactionStatus.IDLE
    return idle and await (await conn.execute("SELECT n FROM kept")).fetchone() is None


async def test_a_failure_that_shows_only_at_the_end_undoes_all_of_it(database: Database) -> None:
    async with database.pool.connection() as conn:
        await conn.execute(TABLE)
        with pytest.raises(psycopg.errors.UniqueViolation):
            await _insert(conn, 1, 1, 2)
        assert await _is_undone(conn)


async def test_what_the_caller_raises_undoes_all_of_it(database: Database) -> None:
    async with database.pool.connection() as conn:
        await conn.execute(TABLE)
        with pytest.raises(ValueError, match="no"):
            await _insert(conn, 1, then=ValueError("no"))
        assert await _is_undone(conn)
