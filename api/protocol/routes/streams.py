"""Joining what streams already: a run, or all runs of a thread."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from api.access import Admitted
from api.protocol import joining, states, streaming
from api.protocol.opened import Opened
from api.protocol.queries import events
from api.protocol.routes.json_route import JsonRoute
from api.protocol.routes.runs import canceller, may_cancel, run_of
from api.protocol.within import ThreadReader

router = APIRouter(tags=["agent protocol"], route_class=JsonRoute)


@router.get("/threads/{thread_id}/runs/{run_id}/stream")
async def join_run(
    thread_id: UUID,
    run_id: UUID,
    protocol: Opened,
    _: ThreadReader,
    admission: Admitted,
    last_event_id: Annotated[str | None, Header()] = None,
    stream_mode: Annotated[list[str] | None, Query()] = None,
    cancel_on_disconnect: bool = False,
) -> Response:
    """A run's stream, after the last event that the client has; without one, from its beginning."""
    run = await run_of(protocol, thread_id, run_id)
    modes = [mode for given in stream_mode or () for mode in given.split(",") if mode]
    lines = streaming.Reader(protocol.db, protocol.bell).of_run(run, streaming.position(last_event_id))
    gone = None
    if cancel_on_disconnect:
        may_cancel(protocol, run, admission.caller)
        gone = canceller(protocol, run, admission.caller)
    return streaming.response(streaming.run_lines(run, lines, modes), on_gone=gone, admission=admission)


@router.get("/threads/{thread_id}/stream")
async def join_thread(
    thread_id: UUID,
    protocol: Opened,
    caller: ThreadReader,
    admission: Admitted,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """What all runs of a thread stream, from now on, or after the last event that the client has."""
    thread = await states.thread_of(protocol, thread_id)
    if last_event_id is None:
        async with protocol.db.pool.connection() as conn:
            after = await events.last_of_thread(conn, thread_id)
    else:
        after = streaming.position(last_event_id)
    lines = streaming.Reader(protocol.db, protocol.bell).of_thread(thread_id, after, "stream")
    if thread["of_run"]:
        lines = joining.joined(protocol.own, thread, lines, by=caller.name)
    return streaming.response(streaming.thread_lines(lines), admission=admission)
