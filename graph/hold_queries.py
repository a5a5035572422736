"""Every statement about who holds what: locks of sessions, attempts, signs of life."""

from __future__ import annotations

from psycopg.rows import DictRow

from graph import queries
from graph.queries import Connection


async def try_lock_run(conn: Connection, lock_key: int) -> bool:
    """Take the run's driver lock for this session; PostgreSQL frees it when the connection dies."""
    row = await queries.one(conn, "SELECT pg_try_advisory_lock(%s) AS got", (lock_key,))
    return bool(row["got"])


async def unlock_run(conn: Connection, lock_key: int) -> None:
    """Give the driver lock back."""
    await conn.execute("SELECT pg_advisory_unlock(%s)", (lock_key,))


async def try_hold(conn: Connection, subject: str, lock_key: int, lease: float) -> DictRow:
    """Try to take a lock for this session: `got`, who had it last (`holder`, `backend`), and whether that one
    has the lock now and gives no sign (`stale`)."""
    return await queries.one(
        conn,
        """SELECT pg_try_advisory_lock(%(key)s) AS got, h.holder, h.backend,
             coalesce(h.holder <> '' AND h.beat_at < clock_timestamp() - make_interval(secs => %(lease)s)
                      AND EXISTS (SELECT FROM pg_locks l
                                  WHERE l.locktype = 'advisory' AND l.granted AND l.pid = h.backend
                                    AND (l.classid::bigint << 32 | l.objid::bigint) = %(key)s),
                      false) AS stale
           FROM (SELECT) one LEFT JOIN holds h ON h.subject = %(subject)s""",
        {"subject": subject, "key": lock_key, "lease": lease},
    )


async def take_hold(conn: Connection, subject: str, holder: str, *, alive: bool) -> DictRow:
    """Raise the attempt of a subject whose lock this session has: `attempt`, `generation`."""
    return await queries.one(conn, "SELECT * FROM take_hold(%s, %s, %s)", (subject, holder, alive))


async def give_back(conn: Connection, subject: str, attempt: int, lock_key: int) -> None:
    """Give a subject back in order, and its lock with it."""
    await conn.execute(
        """WITH given AS (UPDATE holds SET holder = '', backend = 0 WHERE subject = %s AND attempt = %s)
           SELECT pg_advisory_unlock(%s)""",
        (subject, attempt, lock_key),
    )


async def beat(conn: Connection, mine: list[tuple[str, int]]) -> set[str]:
    """Say that the holder of these (subject, attempt) lives; those that it still holds."""
    cursor = await conn.execute(
        """UPDATE holds h SET beat_at = clock_timestamp()
           FROM unnest(%s::text[], %s::int[]) AS mine(subject, attempt)
           WHERE h.subject = mine.subject AND h.attempt = mine.attempt RETURNING h.subject""",
        ([subject for subject, _ in mine], [attempt for _, attempt in mine]),
    )
    return {str(row["subject"]) for row in await cursor.fetchall()}


async def fence_holders(conn: Connection, subject: str) -> list[int]:
    """The server's processes that are in the middle of an effect on a subject."""
    cursor = await conn.execute(
        """SELECT l.pid FROM pg_locks l
           WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_backend_pid()
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND (l.classid::bigint << 32 | l.objid::bigint) = fence_lock(%s)""",
        (subject,),
    )
    return [int(row["pid"]) for row in await cursor.fetchall()]


async def end_backends(conn: Connection, backends: list[int]) -> None:
    """End connections of other processes, as the login of this one."""
    await conn.execute("SET ROLE NONE")
    await conn.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", (backends,))
