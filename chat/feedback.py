"""What people think of an answer or a run: a row, an event in the log, and a score where somebody traces."""

from __future__ import annotations

from dataclasses import dataclass

from chat import queries
from chat.threads import Judged, Threads
from core import clock
from core.json import JsonObject
from core.redaction import redact
from graph import scoring
from graph.runner import Factory
from models.scores import Score

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
    """Keep it; of a run's end and of what a team said, the log has it too, each time that it changes."""
    comment = redact((thought.comment or "").strip()[:MOST_COMMENT]) or None
    judged = await threads.judged(thought.thread_id, thought.step_id)
    async with factory.db.pool.connection() as conn, conn.transaction():
        await queries.put_feedback(
            conn,
            thread_id=thought.thread_id,
            step_id=thought.step_id,
            by=thought.by,
            helpful=thought.helpful,
            comment=comment,
        )
        if judged is not None:
            payload: JsonObject = {"by": thought.by, "helpful": thought.helpful, "comment": comment}
            await _tell(factory, judged, "feedback.given", payload, conn)
    if judged is not None:
        value = "helpful" if thought.helpful else "not helpful"
        await _score(factory, judged, thought.step_id, thought.by, value, comment or "")


async def take_back(factory: Factory, threads: Threads, thread_id: str, step_id: str, by: str) -> None:
    """Forget it here; that it was given stays in the log, and that it was taken back follows it there."""
    judged = await threads.judged(thread_id, step_id)
    async with factory.db.pool.connection() as conn, conn.transaction():
        gone = await queries.delete_feedback(conn, thread_id, step_id, by)
        if not gone or judged is None:
            return
        await _tell(factory, judged, "feedback.taken_back", {"by": by}, conn)
    await _score(factory, judged, step_id, by, "taken back", "")


async def _tell(
    factory: Factory, judged: Judged, kind: str, payload: JsonObject, conn: queries.Connection
) -> None:
    if judged.about:
        payload["about"] = judged.about
    key = clock.new_id("feedback")
    await factory.events.append(judged.chain, kind, payload, team=judged.team, key=key, conn=conn)


async def _score(factory: Factory, judged: Judged, step_id: str, by: str, value: str, comment: str) -> None:
    """Tell whoever traces: one score for a person and a step, which a second thought takes the place of."""
    about: dict[str, str | int] = {"by": by}
    if judged.team:
        about["team"] = judged.team
    score = Score(judged.chain, f"feedback/{step_id}/{by}", "feedback", value, comment, about)
    await scoring.opinion(factory.services, score, project=judged.project, team=judged.team)
