"""One process at a time works on a run: a lock in the database, which ends with its connection."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from core.database import Database
from graph import hold_queries

Connection = AsyncConnection[DictRow]


@asynccontextmanager
async def only_driver(db: Database, run_id: str) -> AsyncGenerator[Connection | None]:
    """Hold the run's lock on a connection of its own, and give that; None when another process has it."""
    key = int.from_bytes(hashlib.sha256(f"drive {run_id}".encode()).digest()[:8], "big", signed=True)
    async with db.pool.connection() as conn:
        if not await hold_queries.try_lock_run(conn, key):
            yield None
            return
        try:
            yield conn
        finally:
            # Who loses the connection has lost the lock with it.
            with suppress(psycopg.OperationalError):
                await hold_queries.unlock_run(conn, key)
