"""Writes down a run of the protocol that follows a run of the factory."""

from __future__ import annotations

from uuid import uuid4

from psycopg.rows import DictRow

from api.protocol.queries import Connection, runs
from api.protocol.wanted import RunWanted
from core import clock


async def begin(
    conn: Connection,
    thread: DictRow,
    assistant: DictRow,
    wanted: RunWanted,
    *,
    by: str,
    after: int,
    protocol: bool = False,
) -> DictRow:
    """A run of the protocol that tells what the factory's log says after a position; an executor is rung."""
    about = {"graph_id": assistant["graph_id"], "assistant_id": str(assistant["assistant_id"])}
    return await runs.accept(
        conn,
        about=about,
        source_seq=after,
        now=clock.now(),
        run_id=uuid4(),
        thread_id=thread["thread_id"],
        assistant_id=assistant["assistant_id"],
        graph_id=assistant["graph_id"],
        multitask_strategy=wanted.multitask_strategy or "enqueue",
        metadata={**(wanted.metadata or {}), **about, "factory_run": thread["of_run"]},
        kwargs={
            "input": wanted.input,
            "command": wanted.command.model_dump(exclude_none=True) if wanted.command else None,
            "config": {},
            "context": {},
            "stream_mode": wanted.modes,
            "webhook": wanted.webhook,
            "protocol": protocol,
        },
        temporary=False,
        by=by,
        after_seconds=0,
    )
