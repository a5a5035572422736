"""Runs: on threads, and stateless; in the background, streamed, waited for; listed, cancelled, forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response, status
from psycopg.rows import DictRow

from api.access import Admission, Admitted, Caller, Submitter, SubmitterWithin
from api.protocol import executor, states, streaming, views
from api.protocol.errors import Conflict, RunNotFound
from api.protocol.opened import AgentProtocol, Opened
from api.protocol.queries import runs as queries
from api.protocol.routes.json_route import JsonRoute
from api.protocol.wanted import RunsCancelled, RunWanted
from api.protocol.within import ThreadReader, ThreadStarter, ThreadSubmitter
from core.errors import BadInput, FactoryError
from core.json import is_object

router = APIRouter(tags=["agent protocol"], route_class=JsonRoute)
MOST_AT_ONCE = 100
"""Runs of one batch."""


@router.post("/threads/{thread_id}/runs")
async def create(thread_id: UUID, wanted: RunWanted, protocol: Opened, caller: ThreadStarter) -> Response:
    """Start a run in the background."""
    return _accepted(await protocol.accept(wanted, caller, thread_id))


@router.post("/threads/{thread_id}/runs/stream")
async def create_stream(
    thread_id: UUID, wanted: RunWanted, protocol: Opened, caller: ThreadStarter, admission: Admitted
) -> Response:
    """Start a run and stream it."""
    return _streamed(
        protocol, await protocol.accept(wanted, caller, thread_id), wanted.on_disconnect, admission
    )


@router.post("/threads/{thread_id}/runs/wait")
async def create_wait(
    thread_id: UUID, wanted: RunWanted, protocol: Opened, caller: ThreadStarter, admission: Admitted
) -> Response:
    """Start a run and wait for its values."""
    return await _accepted_and_waited(protocol, wanted, admission, thread_id)


@router.post("/runs")
async def create_stateless(wanted: RunWanted, protocol: Opened, caller: SubmitterWithin) -> Response:
    """Start a run on a thread of its own, in the background."""
    return _accepted(await protocol.accept(wanted, caller, None))


@router.post("/runs/stream")
async def create_stateless_stream(
    wanted: RunWanted, protocol: Opened, caller: SubmitterWithin, admission: Admitted
) -> Response:
    """Start a run on a thread of its own, and stream it."""
    return _streamed(protocol, await protocol.accept(wanted, caller, None), wanted.on_disconnect, admission)


@router.post("/runs/wait")
async def create_stateless_wait(
    wanted: RunWanted, protocol: Opened, caller: SubmitterWithin, admission: Admitted
) -> Response:
    """Start a run on a thread of its own, and wait for its values."""
    return await _accepted_and_waited(protocol, wanted, admission, None)


@router.post("/runs/batch")
async def create_batch(wanted: list[RunWanted], protocol: Opened, caller: SubmitterWithin) -> Response:
    """Start several runs, each on a thread of its own."""
    if len(wanted) > MOST_AT_ONCE:
        raise BadInput(f"A batch has at most {MOST_AT_ONCE} runs", untouched="No run was started")
    return views.answer([views.run(await protocol.accept(one, caller, None)) for one in wanted])


@router.post("/runs/cancel", status_code=status.HTTP_204_NO_CONTENT)
async def cancel_many(
    wanted: RunsCancelled,
    protocol: Opened,
    caller: Submitter,
    action: Literal["interrupt", "rollback"] = "interrupt",
) -> None:
    """Cancel runs: of a thread, by id, or all of a status."""
    if wanted.status is None and not wanted.run_ids:
        raise BadInput(
            "Name runs by `run_ids` with `thread_id`, or by `status`", untouched="Nothing was cancelled"
        )
    statuses = ["pending", "running"] if wanted.status in (None, "all") else [wanted.status]
    async with protocol.db.pool.connection() as conn:
        found = await queries.open_ones(
            conn, thread_id=wanted.thread_id, run_ids=wanted.run_ids, statuses=statuses
        )
    if wanted.run_ids and not found:
        raise RunNotFound("None of these runs is under way", untouched="Nothing was cancelled")
    for run in found:
        await _cancel(protocol, run, action, caller)


@router.get("/threads/{thread_id}/runs")
async def list_runs(
    thread_id: UUID,
    protocol: Opened,
    _: ThreadReader,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    offset: Annotated[int, Query(ge=0)] = 0,
    status: str | None = None,
    select: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """The runs of a thread, the newest first."""
    await states.thread_of(protocol, thread_id)
    async with protocol.db.pool.connection() as conn:
        rows = await queries.of_thread(conn, thread_id, status=status, limit=limit, offset=offset)
    return views.answer([views.chosen(views.run(row), select) for row in rows])


@router.get("/threads/{thread_id}/runs/{run_id}")
async def show(thread_id: UUID, run_id: UUID, protocol: Opened, _: ThreadReader) -> Response:
    """One run."""
    return views.answer(views.run(await run_of(protocol, thread_id, run_id)))


@router.delete("/threads/{thread_id}/runs/{run_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete(thread_id: UUID, run_id: UUID, protocol: Opened, _: ThreadSubmitter) -> None:
    """Forget a run that has ended. The thread's state stays as the run left it."""
    run = await run_of(protocol, thread_id, run_id)
    if run["status"] not in streaming.ENDED:
        raise Conflict(
            f"Run {run_id} has not ended", untouched="Nothing was forgotten", todo="Cancel it first"
        )
    async with protocol.db.pool.connection() as conn:
        await queries.delete(conn, run_id)


@router.get("/threads/{thread_id}/runs/{run_id}/join")
async def join(
    thread_id: UUID,
    run_id: UUID,
    protocol: Opened,
    caller: ThreadReader,
    admission: Admitted,
    cancel_on_disconnect: bool = False,
) -> Response:
    """Wait until a run ends; its values."""
    heard = protocol.bell.ends
    run = await run_of(protocol, thread_id, run_id)
    if cancel_on_disconnect:
        may_cancel(protocol, run, caller)
    else:
        # An answer in one piece costs half of a stream, which is to keep the connection alive.
        with suppress(TimeoutError):
            reader = streaming.Reader(protocol.db, protocol.bell)
            ended = await reader.until_end(run, heard, patience=streaming.SOON)
            return views.answer(_result(run, ended), headers={"Content-Location": _place(run)})
    return await _waited(protocol, run, "cancel" if cancel_on_disconnect else None, heard, admission)


@router.post("/threads/{thread_id}/runs/{run_id}/cancel")
async def cancel(
    thread_id: UUID,
    run_id: UUID,
    protocol: Opened,
    caller: ThreadSubmitter,
    wait: bool = False,
    action: Literal["interrupt", "rollback"] = "interrupt",
) -> dict[str, Any]:
    """Cancel a run; with `rollback`, take back what it has done to the thread."""
    run = await run_of(protocol, thread_id, run_id)
    await _cancel(protocol, run, action, caller)
    if wait:
        await streaming.Reader(protocol.db, protocol.bell).until_end(run)
    return {}


async def run_of(protocol: AgentProtocol, thread_id: UUID, run_id: UUID) -> DictRow:
    """A thread's run; raises RunNotFound."""
    async with protocol.db.pool.connection() as conn:
        run = await queries.get(conn, run_id)
    if run is None or run["thread_id"] != thread_id:
        raise RunNotFound(f"Thread {thread_id} has no run {run_id}")
    return run


async def _cancel(protocol: AgentProtocol, run: DictRow, action: str, caller: Caller) -> None:
    if run["status"] in streaming.ENDED:
        raise Conflict(f"Run {run['run_id']} has ended: {run['status']}", untouched="Nothing was cancelled")
    if protocol.graphs.get(run["graph_id"]).of_factory:
        # Who follows it sees it end, and ends with it.
        await protocol.own.cancel(run, action, caller)
        return
    await executor.cancel(protocol.db, run["run_id"], action)


def _place(run: DictRow) -> str:
    return (
        f"/runs/{run['run_id']}" if run["temporary"] else f"/threads/{run['thread_id']}/runs/{run['run_id']}"
    )


def _accepted(run: DictRow) -> Response:
    return views.answer(views.run(run), headers={"Content-Location": _place(run)})


def _streamed(
    protocol: AgentProtocol, run: DictRow, on_disconnect: str | None, admission: Admission
) -> Response:
    lines = streaming.Reader(protocol.db, protocol.bell).of_run(run, 0)
    return streaming.response(
        streaming.run_lines(run, lines, None),
        {
            "Content-Location": _place(run),
            "Location": f"/threads/{run['thread_id']}/runs/{run['run_id']}/stream",
        },
        canceller(protocol, run, admission.caller) if on_disconnect == "cancel" else None,
        admission,
    )


def may_cancel(protocol: AgentProtocol, run: DictRow, caller: Caller) -> None:
    """Raises NotPermitted where the caller may not cancel the run."""
    caller.require("control" if protocol.graphs.get(run["graph_id"]).of_factory else "submit")


def canceller(protocol: AgentProtocol, run: DictRow, caller: Caller) -> Callable[[], Awaitable[None]]:
    """What cancels the run of a client that has gone."""

    async def gone() -> None:
        with suppress(FactoryError):  # it may have ended just then
            await _cancel(protocol, run, "interrupt", caller)

    return gone


async def _accepted_and_waited(
    protocol: AgentProtocol, wanted: RunWanted, admission: Admission, thread_id: UUID | None
) -> Response:
    heard = protocol.bell.ends
    run = await protocol.accept(wanted, admission.caller, thread_id)
    return await _waited(protocol, run, wanted.on_disconnect, heard, admission)


async def _waited(
    protocol: AgentProtocol, run: DictRow, on_disconnect: str | None, heard: int, admission: Admission
) -> Response:
    """Its values when it has ended. Spaces keep the connection alive meanwhile; JSON passes them over."""
    reader = streaming.Reader(protocol.db, protocol.bell)

    async def body() -> AsyncIterator[bytes]:
        waiting = asyncio.ensure_future(reader.until_end(run, heard))
        try:
            while not (await asyncio.wait({waiting}, timeout=streaming.HEARTBEAT))[0]:
                yield b"\n"
            yield views.text_of(_result(run, waiting.result())).encode()
        finally:
            waiting.cancel()

    made = streaming.response(
        body(),
        {
            "Content-Location": _place(run),
            "Location": f"/threads/{run['thread_id']}/runs/{run['run_id']}/join",
        },
        canceller(protocol, run, admission.caller) if on_disconnect == "cancel" else None,
        admission,
    )
    made.headers["content-type"] = "application/json"
    return made


def _result(run: DictRow, ended: DictRow | None) -> Any:
    if ended is None:
        return {
            "__error__": {"error": "RunGone", "message": f"Run {run['run_id']} was rolled back, or forgotten"}
        }
    if ended["status"] == "error":
        return {"__error__": ended["error"]}
    waiting = [one for asked in ended["interrupts"].values() for one in asked]
    values = ended["values"]
    return {**values, "__interrupt__": waiting} if waiting and is_object(values) else values
