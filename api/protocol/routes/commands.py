"""`/threads/{thread_id}/commands` and `/stream/events`: a thread's own protocol, over HTTP and WebSocket."""

from __future__ import annotations

from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Body, Request, Response, WebSocket

from api.access import Admission, Admitted, bearer
from api.protocol import commanding, conversing, streaming, subscribing, views
from api.protocol.opened import Opened
from api.protocol.routes.json_route import JsonRoute
from api.protocol.wanted import Json
from api.protocol.within import OnThread, ThreadReader, ThreadStarter
from core.errors import FactoryError

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
    filters = subscribing.filters(wanted)
    lines = streaming.Reader(protocol.db, protocol.bell).of_thread(
        thread_id, await subscribing.since(protocol, thread_id, wanted.get("since")), "event"
    )
    return streaming.response(streaming.event_lines(lines, filters), admission=admission)


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
    await conversing.converse(protocol, thread_id, socket, admission)
