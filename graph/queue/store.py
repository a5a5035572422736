"""Procrastinate on our connections: only the worker that still has a job ends it or puts it back."""

# pyright: reportUnknownMemberType=false, reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from procrastinate import PsycopgConnector, jobs
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from psycopg import AsyncConnection

from core.database import Database
from core.incarnation import Pool
from graph.queue import queries


class Connector(PsycopgConnector):
    """Procrastinate's way to the database, with a pool that is given."""

    def __init__(self, db: Database) -> None:
        super().__init__()
        self._db = db

    @asynccontextmanager
    async def _get_standalone_connection(self) -> AsyncGenerator[AsyncConnection[Any]]:
        connection = await self._db.connect()
        try:
            yield connection
        finally:
            await connection.close()


class Jobs(JobManager):
    """Procrastinate's jobs, but that a worker which was overtaken ends no job of another one's."""

    def __init__(self, connector: Connector, pool: Pool) -> None:
        super().__init__(connector)
        self._pool = pool

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """The next job that may begin."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute("SELECT * FROM fetch_job(%s, %s)", (list(queues or ()), worker_id))
            row = await cursor.fetchone()
        return None if row is None else Job.from_row(row)

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """End a job, if it is still ours; one that succeeded is taken away."""
        assert job.id is not None
        async with self._pool.connection() as conn:
            await queries.finish(conn, job.id, job.worker_id, job.attempts, status.value)

    async def retry_job(
        self,
        job: jobs.Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Put a job back, if it is still ours. `retry_at` counts from the epoch: it is a length of time."""
        assert job.id is not None
        delay = 0.0 if retry_at is None else (retry_at - datetime.fromtimestamp(0, UTC)).total_seconds()
        async with self._pool.connection() as conn:
            await queries.again(conn, job.id, job.worker_id, job.attempts, delay)
