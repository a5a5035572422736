"""What people think of an answer or of a run: a row, and for a run an event in its log."""

from __future__ import annotations

from dataclasses import dataclass

from chat import queries
from chat.threads import Threads
from core import clock
from core.json import JsonObject
from core.redaction import redact
from graph.runner import Factory

MOST_COMMENT = 2_000
"""Characters of a comment."""


@dataclass(frozen=True, slots=True)
class Thought:
    """A thumb up or down, with words or without."""

    thread_id: str
    step_id: str
    by: str
    helpful: bool
    comment: str | None


async def record(factory: Factory, threads: Threads, thought: Thought) -> None:
    """Keep it; of a run's end, its log has it too, each time that it changes."""
    comment = redact((thought.comment or "").strip()[:MOST_COMMENT]) or None
    run_id = await threads.run_of_step(thought.thread_id, thought.step_id)
    async with factory.db.pool.connection() as conn, conn.transaction():
        await queries.put_feedback(
            conn,
            thread_id=thought.thread_id,
            step_id=thought.step_id,
            by=thought.by,
            helpful=thought.helpful,
            comment=comment,
        )
        if run_id is not None:
            payload: JsonObject = {"by": thought.by, "helpful": thought.helpful, "comment": comment}
            key = clock.new_id("feedback")
            await factory.events.append(run_id, "feedback.given", payload, key=key, conn=conn)


async def take_back(factory: Factory, thread_id: str, step_id: str, by: str) -> None:
    """Forget it here; that it was given stays in the run's log."""
    async with factory.db.pool.connection() as conn:
        await queries.delete_feedback(conn, thread_id, step_id, by)
