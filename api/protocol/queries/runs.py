"""The table `protocol_runs`: accepting, claiming, ending."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from api.protocol.queries import Connection, Line, ask, columns, every, jsonb, nullable, one, run

# A run and its thread, which is busy now. An executor that begins it at once has it from here on, as if it
# had claimed it; of any other the executors are told.
_ACCEPTED = """accepted AS (
    INSERT INTO factory.protocol_runs
        (run_id, thread_id, assistant_id, graph_id, status, multitask_strategy, metadata, kwargs, temporary,
         by, starts_at, created_at, updated_at, executor, attempt, leased_until, source_seq)
    SELECT %(run_id)s, thread_id, %(assistant_id)s, %(graph_id)s,
            CASE WHEN %(executor)s::text IS NULL THEN 'pending' ELSE 'running' END, %(multitask_strategy)s,
            %(metadata)s, %(kwargs)s, %(temporary)s, %(by)s,
            now() + %(after_seconds)s * interval '1 second', %(now)s, %(now)s,
            %(executor)s, CASE WHEN %(executor)s::text IS NULL THEN 0 ELSE 1 END,
            CASE WHEN %(executor)s::text IS NOT NULL THEN now() + %(lease)s * interval '1 second' END,
            %(source_seq)s
    FROM thread
    RETURNING *
)
SELECT accepted.*,
    CASE WHEN executor IS NULL THEN NULL
         ELSE (SELECT h.attempt FROM factory.take_hold('thread ' || thread_id, executor, false) h)
    END AS fence,
    NOT EXISTS (SELECT FROM factory.checkpoints k WHERE k.thread_id = accepted.thread_id::text) AS bare,
    CASE WHEN executor IS NULL
         THEN pg_notify('factory_protocol', 'run ' || run_id || ' ' || graph_id) END AS told
FROM accepted
"""

_ACCEPT = f"""
WITH thread AS (
    UPDATE factory.protocol_threads
    SET status = 'busy', updated_at = %(now)s, metadata = metadata || %(about)s
    WHERE thread_id = %(thread_id)s
    RETURNING thread_id
), {_ACCEPTED}"""  # noqa: S608

# The same on a thread that nobody can know yet, which is made with it; no row where there is one of that id.
_ACCEPT_FIRST = f"""
WITH thread AS (
    INSERT INTO factory.protocol_threads (thread_id, status, metadata, config, interrupts, hidden, created_at,
                                          updated_at, state_updated_at)
    VALUES (%(thread_id)s, 'busy', %(about)s, '{{}}', '{{}}', %(temporary)s, %(now)s, %(now)s, %(now)s)
    ON CONFLICT DO NOTHING
    RETURNING thread_id
), {_ACCEPTED}"""  # noqa: S608

# The oldest runs that wait and whose threads are free, or whose executors have let their leases run out. The
# lock keeps two claims apart; the index protocol_runs_alone, two runs of one thread. Its thread comes with a
# run: the attempt at it rises, and who had it before writes no checkpoint any more. Who has patience leaves
# to others what has not waited so long yet, since its moment came or its thread's last run ended.
_CLAIM = """
WITH free AS (
    SELECT c.run_id FROM factory.protocol_runs c
    WHERE c.status IN ('pending', 'running') AND c.graph_id = ANY (%(graphs)s)
      AND (c.status = 'pending' AND c.starts_at <= now() - %(patience)s * interval '1 second'
           OR c.status = 'running' AND c.leased_until < now() - %(patience)s * interval '1 second'
              AND c.run_id <> ALL (%(held)s))
      AND (%(patience)s = 0 OR EXISTS (
          SELECT FROM factory.protocol_threads t
          WHERE t.thread_id = c.thread_id
            AND t.state_updated_at <= now() - %(patience)s * interval '1 second'))
      AND NOT EXISTS (
          SELECT FROM factory.protocol_runs o
          WHERE o.thread_id = c.thread_id AND o.run_id <> c.run_id
            AND (o.status = 'running'
                 OR o.status = 'pending' AND o.number < c.number AND o.starts_at <= now()))
    ORDER BY c.number LIMIT %(most)s FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE factory.protocol_runs r SET status = 'running', executor = %(executor)s, attempt = r.attempt + 1,
        leased_until = now() + %(lease)s * interval '1 second', updated_at = now()
    FROM free WHERE r.run_id = free.run_id
    RETURNING r.*
)
SELECT claimed.*, h.attempt AS fence,
    NOT EXISTS (SELECT FROM factory.checkpoints k WHERE k.thread_id = claimed.thread_id::text) AS bare
FROM claimed, LATERAL factory.take_hold('thread ' || claimed.thread_id, %(executor)s, false) h
"""

# Threads of runs that could be taken over.
_EXPIRED = """
SELECT DISTINCT thread_id FROM factory.protocol_runs
WHERE status = 'running' AND leased_until < now() AND run_id <> ALL (%(held)s)
"""

# A process that ends lets go of what it holds, for others to take up at once.
_RELEASE = """
UPDATE factory.protocol_runs SET leased_until = now() - interval '1 second'
WHERE run_id = %(run_id)s AND executor = %(executor)s AND attempt = %(attempt)s AND status = 'running'
"""

_RENEW = """
UPDATE factory.protocol_runs SET leased_until = now() + %(lease)s * interval '1 second'
WHERE executor = %(executor)s AND status = 'running' AND run_id = ANY (%(held)s)
"""

# The end of a run that is this attempt's: its last lines, what its thread is now, who is told. Of one that
# is another's nothing is changed, and no row comes back.
_END = """
WITH ended AS (
    UPDATE factory.protocol_runs
    SET status = %(status)s, executor = NULL, leased_until = NULL, updated_at = %(now)s
    WHERE run_id = %(run_id)s AND status = 'running' AND executor = %(executor)s AND attempt = %(attempt)s
    RETURNING run_id, thread_id
), told AS (
    INSERT INTO factory.protocol_events (thread_id, run_id, form, event, data)
    SELECT ended.thread_id, ended.run_id, line.form, line.event, line.data
    FROM ended, unnest(%(forms)s::text[], %(events)s::text[], %(data)s::text[])
        WITH ORDINALITY AS line (form, event, data, place)
    ORDER BY line.place
), following AS (
    SELECT r.run_id, r.graph_id FROM factory.protocol_runs r JOIN ended USING (thread_id)
    WHERE r.run_id <> ended.run_id AND r.status IN ('pending', 'running') ORDER BY r.number LIMIT 1
), settled AS (
    UPDATE factory.protocol_threads t SET
        status = CASE WHEN EXISTS (SELECT FROM following) THEN 'busy' ELSE %(thread)s END,
        values = coalesce(%(values)s, values), interrupts = coalesce(%(interrupts)s, interrupts),
        error = %(error)s, updated_at = %(now)s, state_updated_at = %(now)s,
        expires_at = coalesce(%(expires_at)s, expires_at)
    FROM ended WHERE t.thread_id = ended.thread_id
)
SELECT pg_notify('factory_protocol', 'ended ' || thread_id),
    (SELECT pg_notify('factory_protocol', 'run ' || run_id || ' ' || graph_id) FROM following)
FROM ended
"""

_WANT = """
UPDATE factory.protocol_runs SET wanted = %(wanted)s
WHERE run_id = %(run_id)s AND status IN ('pending', 'running')
RETURNING *
"""

# One that nobody executes yet is simply over.
_DROP = """
UPDATE factory.protocol_runs SET status = 'interrupted', updated_at = now()
WHERE run_id = %(run_id)s AND status = 'pending'
"""


async def accept(
    conn: Connection,
    *,
    about: dict[str, str],
    executor: str | None = None,
    lease: float = 0,
    source_seq: int = 0,
    **values: Any,
) -> DictRow:
    """A run on a thread that this transaction has locked, whose metadata gets what it is `about`.

    With `executor` it is that one's at once, for `lease` seconds, under the hold `fence`.
    """
    given = {"about": jsonb(about), "executor": executor, "lease": lease, "source_seq": source_seq}
    row = await one(conn, _ACCEPT, {**_accepted(values), **given})
    assert row is not None
    return row


async def accept_first(
    conn: Connection, *, about: dict[str, str], executor: str | None = None, lease: float = 0, **values: Any
) -> DictRow | None:
    """The same on a thread that is made with it; None where there is one of that id already."""
    given = {"about": jsonb(about), "executor": executor, "lease": lease, "source_seq": 0}
    return await one(conn, _ACCEPT_FIRST, {**_accepted(values), **given})


def _accepted(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "metadata": jsonb(values["metadata"]), "kwargs": jsonb(values["kwargs"])}


async def get(conn: Connection, run_id: UUID) -> DictRow | None:
    """One run."""
    return await one(conn, "SELECT * FROM factory.protocol_runs WHERE run_id = %(id)s", {"id": run_id})


async def look(conn: Connection, run_id: UUID) -> AsyncCursor[DictRow]:
    """How one stands (`status`), not read yet."""
    return await ask(conn, "SELECT status FROM factory.protocol_runs WHERE run_id = %(id)s", {"id": run_id})


async def with_thread(conn: Connection, run_id: UUID) -> DictRow | None:
    """How one stands (`status`), and what its thread has: `values`, `interrupts`, `error`."""
    statement = """
        SELECT r.status, t.values, t.interrupts, t.error
        FROM factory.protocol_runs r JOIN factory.protocol_threads t USING (thread_id)
        WHERE r.run_id = %(id)s"""
    return await one(conn, statement, {"id": run_id})


async def of_thread(
    conn: Connection, thread_id: UUID, *, status: str | None = None, limit: int = 10, offset: int = 0
) -> list[DictRow]:
    """A thread's runs, the newest first."""
    statement = """
        SELECT * FROM factory.protocol_runs
        WHERE thread_id = %(id)s AND (%(status)s::text IS NULL OR status = %(status)s)
        ORDER BY number DESC LIMIT %(limit)s OFFSET %(offset)s"""
    return await every(conn, statement, {"id": thread_id, "status": status, "limit": limit, "offset": offset})


async def active(conn: Connection, thread_id: UUID) -> list[DictRow]:
    """The runs of a thread that have not ended, in the order in which they came."""
    return await (await asked_active(conn, thread_id)).fetchall()


async def asked_active(conn: Connection, thread_id: UUID) -> AsyncCursor[DictRow]:
    """The same, not read yet."""
    statement = """
        SELECT * FROM factory.protocol_runs
        WHERE thread_id = %(id)s AND status IN ('pending', 'running') ORDER BY number"""
    return await ask(conn, statement, {"id": thread_id})


async def open_ones(
    conn: Connection, *, thread_id: UUID | None, run_ids: Sequence[UUID] | None, statuses: Sequence[str]
) -> list[DictRow]:
    """Runs to cancel."""
    statement = """
        SELECT * FROM factory.protocol_runs
        WHERE status = ANY (%(statuses)s) AND (%(thread)s::uuid IS NULL OR thread_id = %(thread)s)
          AND (%(ids)s::uuid[] IS NULL OR run_id = ANY (%(ids)s::uuid[])) ORDER BY number LIMIT 1000"""
    values = {"statuses": list(statuses), "thread": thread_id, "ids": run_ids}
    return await every(conn, statement, values)


async def claim(
    conn: Connection,
    executor: str,
    graphs: Sequence[str],
    held: list[UUID],
    *,
    lease: float,
    most: int = 1,
    patience: float = 0.0,
) -> list[DictRow]:
    """Take so many runs that are not `held` here, for `lease` seconds, each under the hold `fence`.

    Only those that have waited for `patience` seconds.
    """
    values: dict[str, Any] = {"executor": executor, "graphs": list(graphs), "held": held, "lease": lease}
    return await every(conn, _CLAIM, {**values, "most": most, "patience": patience})


async def expired(conn: Connection, held: list[UUID]) -> list[UUID]:
    """The threads whose runs are not `held` here and were let go by who had them."""
    return [row["thread_id"] for row in await every(conn, _EXPIRED, {"held": held})]


async def renew(conn: Connection, executor: str, held: list[UUID], *, lease: float) -> None:
    """Keep what this process executes for another `lease` seconds."""
    await run(conn, _RENEW, {"executor": executor, "held": held, "lease": lease})


async def unwanted(conn: Connection, executor: str) -> list[DictRow]:
    """The runs of this process that are to be cancelled."""
    statement = """
        SELECT run_id, wanted FROM factory.protocol_runs
        WHERE executor = %(executor)s AND status = 'running' AND wanted IS NOT NULL"""
    return await every(conn, statement, {"executor": executor})


async def end(
    conn: Connection,
    run_id: UUID,
    lines: Sequence[Line],
    *,
    values: object,
    interrupts: object,
    error: object,
    **more: Any,
) -> AsyncCursor[DictRow]:
    """End a run whose thread is locked, not read yet: no row where it is not this attempt's any more.

    None for values, interrupts or expires_at: they stay.
    """
    left = {"values": nullable(values), "interrupts": nullable(interrupts), "error": nullable(error)}
    return await ask(conn, _END, {"run_id": run_id, **columns(lines), **left, **more})


async def release(conn: Connection, run_id: UUID, *, executor: str, attempt: int) -> None:
    """Let go of a run that others are to take up."""
    await run(conn, _RELEASE, {"run_id": run_id, "executor": executor, "attempt": attempt})


async def want(conn: Connection, run_id: UUID, wanted: str) -> DictRow | None:
    """Record that a run is to be cancelled; None where it has ended."""
    return await one(conn, _WANT, {"run_id": run_id, "wanted": wanted})


async def drop(conn: Connection, run_id: UUID) -> bool:
    """End a run that nobody executes yet."""
    return await run(conn, _DROP, {"run_id": run_id}) == 1


async def set_source(conn: Connection, run_id: UUID, seq: int) -> None:
    """How far the factory's own log was told in the run's stream."""
    statement = "UPDATE factory.protocol_runs SET source_seq = %(seq)s WHERE run_id = %(id)s"
    await run(conn, statement, {"id": run_id, "seq": seq})


async def delete(conn: Connection, run_id: UUID) -> int:
    """Forget a run and its stream."""
    return await run(conn, "DELETE FROM factory.protocol_runs WHERE run_id = %(id)s", {"id": run_id})
