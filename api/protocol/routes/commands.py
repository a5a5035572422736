"""`/threads/{thread_id}/commands` and `/stream/events`: a thread's own protocol, over HTTP and WebSocket."""

from __future__ import annotations

from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Body, Request, Response, WebSocket

from api.access import Admission, Admitted, bearer
from api.protocol import commanding, streaming, views
from api.protocol.opened import AgentProtocol, Opened
from api.protocol.queries import events
from api.protocol.routes.json_route import JsonRoute
from api.protocol.wanted import Json
from api.protocol.within import OnThread, ThreadReader, ThreadStarter
from core.errors import BadInput, FactoryError

router = APIRouter(prefix="/threads/{thread_id}", tags=["agent protocol"], route_class=JsonRoute)


@router.post("/commands")
async def command(
    thread_id: UUID, given: Annotated[Any, Body()], protocol: Opened, caller: ThreadStarter
) -> Response:
    """A command: start a run, answer an interrupt, look at the state."""
    answer = await commanding.obey(protocol, thread_id, given, caller)
    return views.answer(answer, status=400 if answer.get("id") is None else 200)


@router.post("/stream/events")
async def stream(
    thread_id: UUID, wanted: Annotated[Json, Body()], protocol: Opened, _: ThreadReader, admission: Admitted
) -> Response:
    """The thread's events of some channels, after `since`; else from its newest run's beginning."""
    filters = commanding.filters(wanted)
    lines = streaming.Reader(protocol.db, protocol.bell).of_thread(
        thread_id, await since(protocol, thread_id, wanted.get("since")), "event"
    )
    return streaming.response(streaming.event_lines(lines, filters), admission=admission)


async def since(protocol: AgentProtocol, thread_id: UUID, given: object) -> int:
    """The position after which a client wants to be told; the beginning, where no run is there yet."""
    if given is None:
        async with protocol.db.pool.connection() as conn:
            return await events.before_last_run(conn, thread_id)
    if not isinstance(given, int) or given < 0:
        raise BadInput("`since` is the number of an event")
    return given


@router.websocket("/stream/events")
async def listen(socket: WebSocket, thread_id: UUID, protocol: Opened) -> None:
    """The same over a WebSocket, on which commands can be sent too."""
    try:
        request = cast(Request, socket)  # what is read of it, both have
        caller = await OnThread("read")(request)
    except FactoryError as error:
        # Closed before it was accepted: the client is answered 403.
        await socket.close(1008, error.code)
        return
    await socket.accept()
    admission = Admission(protocol.service.access, bearer(request), caller)
    await commanding.converse(protocol, thread_id, socket, admission)
