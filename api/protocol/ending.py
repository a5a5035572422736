"""The end of a run, in one transaction: its last lines, its status, its thread's state, and who is next."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from typing import Any, Final

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from api.protocol import views
from api.protocol.encoding import text_of
from api.protocol.executing import Outcome
from api.protocol.queries import Connection, Line, events, runs, threads
from api.protocol.recorder import Recorder, line_of
from api.webhooks import queries as webhook_queries
from core import clock
from core.database import Database
from core.fencing import Fenced
from core.redaction import redact

KEPT: Final = timedelta(minutes=5)
"""How long a stateless run's thread outlives it, for clients that are late to join."""


async def end(db: Database, run: DictRow, recorder: Recorder, outcome: Outcome, wanted: str | None) -> None:
    """End the run; raises Fenced where it is another's by now."""
    lines = [*recorder.take(), *_last_lines(run, outcome, wanted)]
    # Statements that are sent together are one transaction; where more is to be done, it is said so.
    more = outcome.rollback or run["kwargs"].get("webhook") is not None
    async with db.pool.connection() as conn, conn.pipeline(), conn.transaction() if more else nullcontext():
        # The thread first, as who accepts a run does it: so the two never wait for each other.
        await threads.hold(conn, run["thread_id"])
        ended = await _end(conn, run, recorder, outcome, lines)
        if more:
            _check(run, await ended.fetchone())
            await _end_more(conn, run, outcome)
    if not more:
        _check(run, await ended.fetchone())


async def _end(
    conn: Connection, run: DictRow, recorder: Recorder, outcome: Outcome, lines: list[Line]
) -> AsyncCursor[DictRow]:
    now = clock.now()
    return await runs.end(
        conn,
        run["run_id"],
        lines,
        executor=recorder.executor,
        attempt=recorder.attempt,
        status=outcome.status,
        thread=outcome.thread,
        values=outcome.values,
        interrupts=outcome.interrupts,
        error=outcome.error,
        now=now,
        expires_at=now + KEPT if run["temporary"] else None,
    )


def _check(run: DictRow, ended: DictRow | None) -> None:
    if ended is None:
        raise Fenced(f"Run {run['run_id']} was taken over, or its thread is gone")


async def _end_more(conn: Connection, run: DictRow, outcome: Outcome) -> None:
    await _tell_webhook(conn, run, outcome)
    if outcome.rollback:
        await events.forget_checkpoints(conn, run["thread_id"], run["run_id"])
        await runs.delete(conn, run["run_id"])


async def _tell_webhook(conn: Connection, run: DictRow, outcome: Outcome) -> None:
    """Have its webhook told, as LangGraph's own server tells it: the run, and what it left."""
    url: str | None = run["kwargs"].get("webhook")
    if url is None:
        return
    told = {**views.run(run), "status": outcome.status, "values": outcome.values, "error": outcome.error}
    values = {"id": clock.new_id("msg"), "run": run["run_id"], "url": url, "message": text_of(told)}
    await conn.execute(webhook_queries.ADD_OF_RUN, values)


def _last_lines(run: DictRow, outcome: Outcome, wanted: str | None) -> list[Line]:
    lines: list[Line] = []
    keys: list[str] = run["kwargs"].get("feedback_keys") or []
    if outcome.error is not None:
        lines.append(("stream", "error", text_of(outcome.error)))
    elif keys and outcome.status == "success":
        # There is no service here that takes feedback: the keys are told, and no address.
        lines.append(("stream", "feedback", text_of(dict.fromkeys(keys))))
    asked: dict[str, list[dict[str, Any]]] = outcome.interrupts or {}
    for waiting in asked.values():
        if outcome.status == "interrupted" and wanted is None:
            lines.extend(_asked(one) for one in waiting)
    lines.append(line_of("lifecycle", _lifecycle(run, outcome, wanted)))
    return lines


def _asked(one: dict[str, Any]) -> Line:
    data = {"interrupt_id": one["id"], "payload": one["value"], "value": one["value"]}
    return line_of("input.requested", data)


def _lifecycle(run: DictRow, outcome: Outcome, wanted: str | None) -> dict[str, Any]:
    told: dict[str, Any] = {"event": "completed", "graph_name": run["graph_id"]}
    if wanted is not None:
        told |= {"event": "failed", "error": "The run was cancelled"}
    elif outcome.error is not None:
        told |= {"event": "failed", "error": redact(f"{outcome.error['error']}: {outcome.error['message']}")}
    elif outcome.status == "interrupted":
        told["event"] = "interrupted"
    return told


async def settle_without(conn: Connection, run: DictRow) -> None:
    """The thread of a run that ended before anybody began it."""
    row = await threads.get(conn, run["thread_id"], lock=True)
    left = [one for one in await runs.active(conn, run["thread_id"]) if one["run_id"] != run["run_id"]]
    if row is None or left:
        return
    status = "interrupted" if row["interrupts"] else "error" if row["error"] else "idle"
    await threads.settle(
        conn,
        run["thread_id"],
        status=status,
        values=None,
        interrupts=None,
        error=row["error"],
        now=clock.now(),
    )
