"""Every statement of this package: the table `idempotency_keys`."""

from __future__ import annotations

from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from core.incarnation import Connection


async def claim(conn: Connection, **values: Any) -> DictRow | None:
    """Become the holder of a request that nobody answers or has answered; None where somebody is or has.

    This commit does not wait for the disk: whatever the request does commits later, and carries it there.
    A row of `kept` seconds ago counts as none; a holder that was silent for `lease` seconds is dead.
    """
    cursor = await conn.execute(
        """
        WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
        INSERT INTO idempotency_keys AS k (id, request, effect_id, holder, seen_at, created_at)
        SELECT %(id)s, %(request)s, %(effect_id)s, %(holder)s, clock_timestamp(), clock_timestamp()
        FROM lazily
        ON CONFLICT (id) DO UPDATE SET
            request = excluded.request, holder = excluded.holder, seen_at = excluded.seen_at,
            effect_id = CASE WHEN k.created_at < clock_timestamp() - make_interval(secs => %(kept)s)
                             THEN excluded.effect_id ELSE k.effect_id END,
            attempts = CASE WHEN k.created_at < clock_timestamp() - make_interval(secs => %(kept)s)
                            THEN 1 ELSE k.attempts + 1 END,
            created_at = CASE WHEN k.created_at < clock_timestamp() - make_interval(secs => %(kept)s)
                              THEN excluded.created_at ELSE k.created_at END,
            status = NULL, headers = NULL, body = NULL
        WHERE k.created_at < clock_timestamp() - make_interval(secs => %(kept)s)
           OR (k.status IS NULL AND k.request = excluded.request
               AND k.seen_at < clock_timestamp() - make_interval(secs => %(lease)s))
        RETURNING effect_id, attempts, created_at
        """,
        values,
    )
    return await cursor.fetchone()


async def claimed(conn: Connection, key: str) -> DictRow | None:
    """How a request stands."""
    cursor = await conn.execute(
        "SELECT request, status, headers, body FROM idempotency_keys WHERE id = %s", (key,)
    )
    return await cursor.fetchone()


async def alive(conn: Connection, key: str, holder: str) -> None:
    """Say that the holder lives."""
    await conn.execute(
        "UPDATE idempotency_keys SET seen_at = clock_timestamp() WHERE id = %s AND holder = %s", (key, holder)
    )


async def answer(
    conn: Connection, key: str, holder: str, *, status: int, headers: dict[str, str], body: str
) -> None:
    """Keep the answer, unless somebody has taken over.

    This commit does not wait for the disk: where the server loses it, the request is answered anew.
    """
    await conn.execute(
        """WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
           UPDATE idempotency_keys SET status = %s, headers = %s, body = %s FROM lazily
           WHERE id = %s AND holder = %s AND status IS NULL""",
        (status, Jsonb(headers), body, key, holder),
    )


async def let_go(conn: Connection, key: str, holder: str) -> None:
    """Let whoever sends the request again take over at once."""
    await conn.execute(
        "UPDATE idempotency_keys SET seen_at = '-infinity' WHERE id = %s AND holder = %s AND status IS NULL",
        (key, holder),
    )


async def drop(conn: Connection, key: str, holder: str) -> None:
    """Forget a request that was refused before anything was done."""
    await conn.execute("DELETE FROM idempotency_keys WHERE id = %s AND holder = %s", (key, holder))


async def purge(conn: Connection, kept: float) -> None:
    """Forget what is too old."""
    await conn.execute(
        "DELETE FROM idempotency_keys WHERE created_at < clock_timestamp() - make_interval(secs => %s)",
        (kept,),
    )
