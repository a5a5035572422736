"""Every statement that touches the chat's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

Connection = AsyncConnection[DictRow]


async def open_thread(conn: Connection, thread_id: str, owner: str) -> None:
    """Record a thread of a person's; one that is there already stays whose it is."""
    await conn.execute(
        "INSERT INTO chat_threads (id, owner) VALUES (%s, %s) ON CONFLICT (id) DO NOTHING", (thread_id, owner)
    )


async def thread(conn: Connection, thread_id: str) -> DictRow | None:
    """One thread."""
    cursor = await conn.execute("SELECT * FROM chat_threads WHERE id = %s", (thread_id,))
    return await cursor.fetchone()


async def threads(
    conn: Connection, owner: str, *, before: str | None, words: str | None, limit: int
) -> Sequence[DictRow]:
    """A person's threads, the one spoken in last first; after `before`, and with `words` in the name."""
    cursor = await conn.execute(
        """
        SELECT * FROM chat_threads
        WHERE owner = %(owner)s
          AND (%(words)s::text IS NULL OR strpos(lower(name), lower(%(words)s)) > 0)
          AND (%(before)s::text IS NULL
               OR (updated_at, id) < (SELECT updated_at, id FROM chat_threads WHERE id = %(before)s))
        ORDER BY updated_at DESC, id DESC LIMIT %(limit)s
        """,
        {"owner": owner, "before": before, "words": words or None, "limit": limit},
    )
    return await cursor.fetchall()


async def change_thread(
    conn: Connection, thread_id: str, *, name: str | None, metadata: Mapping[str, Any] | None
) -> None:
    """Set a thread's name, and lay `metadata` over what it has: two writers lose nothing of each other's."""
    await conn.execute(
        """
        UPDATE chat_threads
        SET name = COALESCE(%(name)s, name), metadata = metadata || %(metadata)s,
            updated_at = CASE WHEN %(name)s::text IS NULL THEN updated_at ELSE clock_timestamp() END
        WHERE id = %(id)s
        """,
        {"id": thread_id, "name": name, "metadata": Jsonb(dict(metadata or {}))},
    )


async def delete_thread(conn: Connection, thread_id: str) -> None:
    """Forget a thread with all that was said in it; the runs stay."""
    await conn.execute("DELETE FROM chat_threads WHERE id = %s", (thread_id,))


async def put_message(conn: Connection, thread_id: str, message_id: str, step: Mapping[str, Any]) -> None:
    """Write what was said, or what it has become."""
    await conn.execute(
        """
        WITH said AS (
            INSERT INTO chat_messages (id, thread_id, step) VALUES (%(id)s, %(thread)s, %(step)s)
            ON CONFLICT (id) DO UPDATE SET step = EXCLUDED.step WHERE chat_messages.thread_id = %(thread)s
        )
        UPDATE chat_threads SET updated_at = clock_timestamp() WHERE id = %(thread)s
        """,
        {"id": message_id, "thread": thread_id, "step": Jsonb(dict(step))},
    )


async def messages(conn: Connection, thread_id: str) -> Sequence[DictRow]:
    """What was said in a thread, in order."""
    cursor = await conn.execute(
        "SELECT id, at, step FROM chat_messages WHERE thread_id = %s ORDER BY at, id", (thread_id,)
    )
    return await cursor.fetchall()


async def delete_message(conn: Connection, message_id: str) -> None:
    """Forget what was said."""
    await conn.execute("DELETE FROM chat_messages WHERE id = %s", (message_id,))


async def put_file(conn: Connection, **values: Any) -> None:
    """Record a file that somebody sent."""
    await conn.execute(
        """
        INSERT INTO chat_files (id, thread_id, message_id, name, mime, bytes)
        VALUES (%(id)s, %(thread_id)s, %(message_id)s, %(name)s, %(mime)s, %(bytes)s)
        ON CONFLICT (id) DO NOTHING
        """,
        values,
    )


async def files(conn: Connection, thread_id: str) -> Sequence[DictRow]:
    """The files that were sent in a thread."""
    cursor = await conn.execute("SELECT * FROM chat_files WHERE thread_id = %s ORDER BY at, id", (thread_id,))
    return await cursor.fetchall()


async def file(conn: Connection, file_id: str, owner: str) -> DictRow | None:
    """A file of one of a person's threads."""
    cursor = await conn.execute(
        """
        SELECT chat_files.* FROM chat_files JOIN chat_threads ON chat_threads.id = thread_id
        WHERE chat_files.id = %s AND owner = %s
        """,
        (file_id, owner),
    )
    return await cursor.fetchone()


async def ask_for_run(conn: Connection, thread_id: str, message_id: str, run_id: str) -> str:
    """Record which run a message is to have; the one it has, where that is recorded."""
    cursor = await conn.execute(
        """
        INSERT INTO chat_runs (message_id, thread_id, run_id) VALUES (%s, %s, %s)
        ON CONFLICT (message_id) DO UPDATE SET message_id = EXCLUDED.message_id
        RETURNING run_id
        """,
        (message_id, thread_id, run_id),
    )
    row = await cursor.fetchone()
    assert row is not None
    return str(row["run_id"])


async def drop_request(conn: Connection, message_id: str) -> None:
    """Take back that a message asks for a run: it was refused."""
    await conn.execute("DELETE FROM chat_runs WHERE message_id = %s", (message_id,))


async def runs(conn: Connection, thread_id: str) -> Sequence[DictRow]:
    """What a thread's messages asked for, in order; `made` says whether the run is there."""
    cursor = await conn.execute(
        """
        SELECT message_id, run_id, at, EXISTS (SELECT FROM runs WHERE runs.id = run_id) AS made
        FROM chat_runs WHERE thread_id = %s ORDER BY at, message_id
        """,
        (thread_id,),
    )
    return await cursor.fetchall()


async def put_feedback(conn: Connection, **values: Any) -> None:
    """Record what a person thought of a step; a second thought takes the place of the first."""
    await conn.execute(
        """
        INSERT INTO chat_feedback (thread_id, step_id, by, helpful, comment)
        VALUES (%(thread_id)s, %(step_id)s, %(by)s, %(helpful)s, %(comment)s)
        ON CONFLICT (thread_id, step_id, by) DO UPDATE SET helpful = EXCLUDED.helpful,
            comment = EXCLUDED.comment, at = clock_timestamp()
        """,
        values,
    )


async def feedback(conn: Connection, thread_id: str) -> Sequence[DictRow]:
    """What was thought of a thread's steps."""
    cursor = await conn.execute("SELECT * FROM chat_feedback WHERE thread_id = %s ORDER BY at", (thread_id,))
    return await cursor.fetchall()


async def delete_feedback(conn: Connection, thread_id: str, step_id: str, by: str) -> bool:
    """Take back what a person thought; whether there was anything."""
    done = await conn.execute(
        "DELETE FROM chat_feedback WHERE thread_id = %s AND step_id = %s AND by = %s",
        (thread_id, step_id, by),
    )
    return done.rowcount > 0
