"""Every statement of this package: the table `leases`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from psycopg import AsyncConnection
from psycopg.rows import DictRow

Connection = AsyncConnection[DictRow]


async def no_wait_for_disk(conn: Connection) -> None:
    """What follows in this transaction may be lost with the machine: a lease outlives nothing."""
    await conn.execute("SET LOCAL synchronous_commit = off")


async def renew_lease(
    conn: Connection,
    *,
    run_id: str,
    stage: str,
    project: str,
    team: str,
    paths: Sequence[str],
    lasts: timedelta,
    ahead: timedelta,
) -> None:
    """Take a lease, or make it last longer; the expired ones of others are removed.

    One statement and so one journey to the database. Its own that has expired begins anew. The time is the
    database's, moved `ahead` by a test.
    """
    await conn.execute(
        """WITH lazily AS MATERIALIZED (
               SELECT set_config('synchronous_commit', 'off', true), clock_timestamp() + %(ahead)s AS now
           ),
           expired AS (
               DELETE FROM leases USING lazily
               WHERE expires_at <= lazily.now AND NOT (run_id = %(run_id)s AND stage = %(stage)s)
           )
           INSERT INTO leases AS mine (run_id, stage, project, team, paths, taken_at, expires_at)
           SELECT %(run_id)s, %(stage)s, %(project)s, %(team)s, %(paths)s, now, now + %(lasts)s FROM lazily
           ON CONFLICT (run_id, stage) DO UPDATE SET
               expires_at = EXCLUDED.expires_at,
               taken_at = CASE WHEN mine.expires_at <= EXCLUDED.taken_at THEN EXCLUDED.taken_at
                               ELSE mine.taken_at END,
               files = CASE WHEN mine.expires_at <= EXCLUDED.taken_at THEN '{}' ELSE mine.files END""",
        {
            "run_id": run_id,
            "stage": stage,
            "project": project,
            "team": team,
            "paths": list(paths),
            "lasts": lasts,
            "ahead": ahead,
        },
    )


async def note_file(conn: Connection, run_id: str, stage: str, path: str) -> None:
    """Record that the stage has written the file."""
    await conn.execute(
        """UPDATE leases SET files = array_append(files, %s)
           WHERE run_id = %s AND stage = %s AND NOT %s = ANY (files)""",
        (path, run_id, stage, path),
    )


async def select_leases(conn: Connection, project: str, ahead: timedelta) -> list[DictRow]:
    """The leases of a project that have not expired, the oldest first; the time is as above."""
    cursor = await conn.execute(
        """SELECT run_id, stage, project, team, paths, files, taken_at, expires_at FROM leases
           WHERE project = %s AND expires_at > clock_timestamp() + %s ORDER BY taken_at, run_id, stage""",
        (project, ahead),
    )
    return await cursor.fetchall()


async def delete_lease(conn: Connection, run_id: str, stage: str) -> None:
    """Give a lease back."""
    await conn.execute(
        """WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
           DELETE FROM leases USING lazily WHERE run_id = %s AND stage = %s""",
        (run_id, stage),
    )
