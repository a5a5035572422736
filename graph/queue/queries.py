"""Every statement of the queue, in terms of the functions that its migration makes."""

from __future__ import annotations

from typing import Any, cast

from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from graph.lifecycle import ENDED, WAITING
from graph.turn_queries import HELD_BACK

Connection = AsyncConnection[DictRow]


async def defer(
    conn: Connection,
    kind: str,
    args: dict[str, Any],
    *,
    priority: int,
    lock: str | None,
    queueing_lock: str | None,
    delay: float | None,
) -> AsyncCursor[DictRow]:
    """Put a job into the queue; the `id` of the job that stands for it, to be fetched."""
    return await conn.execute(
        """SELECT defer_job(%s, %s, %s, %s, %s,
                            clock_timestamp() + make_interval(secs => %s::double precision)) AS id""",
        (kind, Jsonb(args), priority, lock, queueing_lock, delay),
    )


async def mark_queued(conn: Connection, run_id: str, most: int | None) -> None:
    """Record that workers drive a run from now on, and how many of its project at once."""
    await conn.execute(
        "UPDATE runs SET options = options || jsonb_build_object('queued', %s::int) WHERE id = %s",
        (most, run_id),
    )


async def queued(conn: Connection, run_id: str) -> DictRow | None:
    """The `project` of a run that workers drive, and how many of it at once (`most`)."""
    cursor = await conn.execute(
        """SELECT p.name AS project, (r.options ->> 'queued')::int AS most
           FROM runs r JOIN projects p ON p.id = r.project_id WHERE r.id = %s AND r.options ? 'queued'""",
        (run_id,),
    )
    return await cursor.fetchone()


async def forgotten(conn: Connection, kind: str) -> list[str]:
    """Runs that workers drive, which could go on, whose turn it is, and of which the queue knows nothing."""
    cursor = await conn.execute(
        f"""SELECT r.id FROM runs r
           WHERE r.options ? 'queued'
             AND r.status <> ALL (%(still)s) AND r.wanted ->> 'what' IS DISTINCT FROM 'pause'
             AND NOT EXISTS (SELECT FROM procrastinate_jobs j
                             WHERE j.lock = 'run ' || r.id AND j.task_name = %(kind)s
                               AND j.status IN ('todo', 'doing', 'failed'))
             AND NOT {HELD_BACK}
           ORDER BY r.id LIMIT 100""",  # noqa: S608
        {"still": [*sorted(ENDED | WAITING)], "ended": [*sorted(ENDED)], "kind": kind},
    )
    return [str(row["id"]) for row in await cursor.fetchall()]


async def forget_failures(conn: Connection, lock: str) -> None:
    """Take away what failed under a lock: it is tried anew."""
    await conn.execute("DELETE FROM procrastinate_jobs WHERE lock = %s AND status = 'failed'", (lock,))


async def stop(conn: Connection, job_ids: list[int]) -> None:
    """Take waiting jobs away, and have workers stop those that they do."""
    await conn.execute("DELETE FROM procrastinate_jobs WHERE id = ANY (%s) AND status = 'todo'", (job_ids,))
    await conn.execute(
        "UPDATE procrastinate_jobs SET abort_requested = true WHERE id = ANY (%s) AND status = 'doing'",
        (job_ids,),
    )


async def reap(conn: Connection, lease: float) -> int:
    """Give back what silent workers have; how many jobs."""
    row = await (await conn.execute("SELECT reap_jobs(%s) AS reaped", (lease,))).fetchone()
    assert row is not None
    return cast(int, row["reaped"])


async def sweep(conn: Connection, days: int) -> None:
    """Take away what failed or was stopped long ago."""
    await conn.execute(
        """DELETE FROM procrastinate_jobs j USING (
             SELECT e.job_id FROM procrastinate_events e GROUP BY e.job_id
             HAVING max(e.at) < clock_timestamp() - make_interval(days => %s)
           ) old WHERE j.id = old.job_id AND j.status NOT IN ('todo', 'doing')""",
        (days,),
    )


async def finish(conn: Connection, job_id: int, worker: int | None, attempts: int, status: str) -> bool:
    """End a job that this worker still has: away with it, or keep it as `failed` or `aborted`."""
    cursor = await conn.execute(
        """WITH mine AS (
             SELECT id FROM procrastinate_jobs
             WHERE id = %(id)s AND worker_id = %(worker)s AND attempts = %(attempts)s AND status = 'doing'
           ), gone AS (
             DELETE FROM procrastinate_jobs j USING mine WHERE j.id = mine.id AND %(status)s = 'succeeded'
           )
           UPDATE procrastinate_jobs j
             SET status = CASE WHEN %(status)s = 'succeeded' THEN j.status
                               ELSE %(status)s::procrastinate_job_status END,
                 abort_requested = false, attempts = j.attempts + 1
             FROM mine WHERE j.id = mine.id AND %(status)s <> 'succeeded' RETURNING j.id""",
        {"id": job_id, "worker": worker, "attempts": attempts, "status": status},
    )
    return cursor.rowcount > 0


async def again(conn: Connection, job_id: int, worker: int | None, attempts: int, delay: float) -> None:
    """Put a job back that this worker still has; one that is to be stopped ends."""
    await conn.execute(
        """UPDATE procrastinate_jobs
             SET status = CASE WHEN abort_requested THEN 'aborted' ELSE 'todo' END::procrastinate_job_status,
                 abort_requested = false, worker_id = NULL, attempts = attempts + 1,
                 scheduled_at = CASE WHEN %(delay)s::double precision > 0
                     THEN clock_timestamp() + make_interval(secs => %(delay)s::double precision) END
             WHERE id = %(id)s AND worker_id = %(worker)s AND attempts = %(attempts)s AND status = 'doing'""",
        {"id": job_id, "worker": worker, "attempts": attempts, "delay": delay},
    )
    await conn.execute(
        """SELECT pg_notify('procrastinate_queue_v1#' || queue_name,
                            json_build_object('type', 'job_inserted', 'job_id', id)::text)
           FROM procrastinate_jobs WHERE id = %s AND status = 'todo'""",
        (job_id,),
    )
