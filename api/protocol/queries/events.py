"""The table `protocol_events`, the bell that tells of new rows, and what LangGraph's tables keep of a run."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import DictRow

from api.protocol.queries import Connection, every, one, run

CHANNEL: Final = "factory_protocol"

# Only who still holds a run writes its stream: who slept past its lease finds nothing to insert into.
_APPEND = """
WITH asked AS MATERIALIZED (
    SELECT run, attempt, lines
    FROM jsonb_to_recordset(%(asked)s::jsonb) AS one (run uuid, attempt int, lines jsonb)
), mine AS (
    SELECT r.run_id, r.thread_id, asked.lines
    FROM asked JOIN factory.protocol_runs r ON r.run_id = asked.run AND r.attempt = asked.attempt
    WHERE r.status = 'running' AND r.executor = %(executor)s
    FOR SHARE OF r
), told AS (
    INSERT INTO factory.protocol_events (thread_id, run_id, form, event, data)
    SELECT mine.thread_id, mine.run_id, line ->> 0, line ->> 1, line ->> 2
    FROM mine, jsonb_array_elements(mine.lines) WITH ORDINALITY AS each (line, place)
    ORDER BY mine.run_id, each.place
)
SELECT run_id, pg_notify('factory_protocol', 'thread ' || thread_id) FROM mine
"""

_READ_RUN = """
SELECT seq, form, event, data FROM factory.protocol_events
WHERE run_id = %(id)s AND seq > %(after)s ORDER BY seq LIMIT %(limit)s
"""

_READ_THREAD = """
SELECT seq, run_id, form, event, data FROM factory.protocol_events
WHERE thread_id = %(id)s AND seq > %(after)s AND (%(form)s::text IS NULL OR form = %(form)s)
ORDER BY seq LIMIT %(limit)s
"""

# Where the stream of a thread's newest run begins: after all that was told before it.
_BEFORE_LAST_RUN = """
SELECT coalesce(max(seq), 0) AS seq FROM factory.protocol_events
WHERE thread_id = %(id)s AND run_id <> (
    SELECT run_id FROM factory.protocol_runs WHERE thread_id = %(id)s ORDER BY number DESC LIMIT 1)
"""

_PRUNE = """
DELETE FROM factory.protocol_events e USING factory.protocol_runs r
WHERE e.run_id = r.run_id AND r.status NOT IN ('pending', 'running') AND r.updated_at < %(before)s
"""

# A rollback: what the run has written is gone, and what was there before it is the state again.
_FORGET_CHECKPOINTS = """
WITH gone AS (
    DELETE FROM factory.checkpoints WHERE thread_id = %(thread_id)s AND metadata ->> 'run_id' = %(run_id)s
    RETURNING checkpoint_ns, checkpoint_id
)
DELETE FROM factory.checkpoint_writes w USING gone
WHERE w.thread_id = %(thread_id)s AND w.checkpoint_ns = gone.checkpoint_ns
  AND w.checkpoint_id = gone.checkpoint_id
"""

_COPY_CHECKPOINTS = """
WITH checkpoints AS (
    INSERT INTO factory.checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type,
                                     checkpoint, metadata)
    SELECT %(target)s, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint,
           jsonb_set(metadata, '{thread_id}', to_jsonb(%(target)s::text))
    FROM factory.checkpoints WHERE thread_id = %(source)s
), blobs AS (
    INSERT INTO factory.checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT %(target)s, checkpoint_ns, channel, version, type, blob
    FROM factory.checkpoint_blobs WHERE thread_id = %(source)s
)
INSERT INTO factory.checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx,
                                       channel, type, blob)
SELECT %(target)s, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob
FROM factory.checkpoint_writes WHERE thread_id = %(source)s
"""


async def append(conn: Connection, executor: str, asked: str) -> set[UUID]:
    """Write lines of several runs' streams; which of the runs are the executor's.

    `asked` is JSON: for each `run`, the `attempt`, and its `lines`, each of form, event, data.
    """
    return {row["run_id"] for row in await every(conn, _APPEND, {"executor": executor, "asked": asked})}


async def read_run(conn: Connection, run_id: UUID, after: int, limit: int) -> list[DictRow]:
    """A run's lines after a position."""
    return await every(conn, _READ_RUN, {"id": run_id, "after": after, "limit": limit})


async def read_thread(
    conn: Connection, thread_id: UUID, after: int, limit: int, form: str | None = None
) -> list[DictRow]:
    """A thread's lines after a position."""
    return await every(conn, _READ_THREAD, {"id": thread_id, "after": after, "limit": limit, "form": form})


async def last_of_thread(conn: Connection, thread_id: UUID) -> int:
    """The position of the thread's last line; 0 where there is none."""
    statement = "SELECT coalesce(max(seq), 0) AS seq FROM factory.protocol_events WHERE thread_id = %(id)s"
    row = await one(conn, statement, {"id": thread_id})
    return row["seq"] if row else 0


async def before_last_run(conn: Connection, thread_id: UUID) -> int:
    """The position before the first line of the thread's newest run."""
    row = await one(conn, _BEFORE_LAST_RUN, {"id": thread_id})
    return row["seq"] if row else 0


async def ring(conn: Connection, *what: str) -> None:
    """Tell all processes, at the transaction's end."""
    await conn.execute("SELECT pg_notify('factory_protocol', told) FROM unnest(%s::text[]) told", ([*what],))


async def prune(conn: Connection, before: datetime) -> int:
    """Forget the streams of runs that ended before a moment."""
    return await run(conn, _PRUNE, {"before": before})


async def forget_checkpoints(conn: Connection, thread_id: UUID, run_id: UUID) -> None:
    """Take back the checkpoints that a run has written."""
    await run(conn, _FORGET_CHECKPOINTS, {"thread_id": str(thread_id), "run_id": str(run_id)})


async def copy_checkpoints(conn: Connection, source: UUID, target: UUID) -> None:
    """Give a new thread all checkpoints of another."""
    await run(conn, _COPY_CHECKPOINTS, {"source": str(source), "target": str(target)})
