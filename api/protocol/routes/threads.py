"""`/threads`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Response, status
from langgraph.types import StateUpdate
from psycopg.rows import DictRow

from api.access import ReaderWithin, Submitter, narrowed
from api.protocol import states, views
from api.protocol.encoding import size_of
from api.protocol.errors import Conflict, GraphNotFound, NotHere, no_thread
from api.protocol.opened import AgentProtocol, Opened
from api.protocol.queries import events, runs
from api.protocol.queries import threads as queries
from api.protocol.routes.json_route import JsonRoute
from api.protocol.wanted import Json, ThreadPatch, ThreadsMatching, ThreadsPruned, ThreadWanted
from api.protocol.within import ThreadReader, ThreadSubmitter
from core import clock
from core.errors import BadInput
from core.json import is_array, is_object

router = APIRouter(prefix="/threads", tags=["agent protocol"], route_class=JsonRoute)


@router.post("")
async def create(wanted: ThreadWanted, protocol: Opened, _: Submitter) -> Response:
    """A new thread."""
    thread_id = wanted.thread_id or uuid4()
    ttl, expires_at = _ttl(wanted.ttl)
    async with protocol.db.pool.connection() as conn:
        inserted = await queries.insert(
            conn, thread_id, now=clock.now(), metadata=wanted.metadata or {}, ttl=ttl, expires_at=expires_at
        )
        row = await inserted.fetchone()
        if row is None and wanted.if_exists == "do_nothing":
            return views.answer(views.thread(await states.thread_of(protocol, thread_id)))
    if row is None:
        raise Conflict(f"There is a thread {thread_id} already", untouched="It is as it was")
    if wanted.supersteps:
        await _fill(protocol, row, wanted.supersteps)
        row = await states.thread_of(protocol, thread_id)
    return views.answer(views.thread(row))


@router.post("/search")
async def search(wanted: ThreadsMatching, protocol: Opened, caller: ReaderWithin) -> Response:
    """The threads that match: with values, status, and what they wait for."""
    await protocol.own.show_all()
    order = f"{wanted.sort_by or 'updated_at'} {wanted.sort_order or 'desc'}, thread_id"
    async with protocol.db.pool.connection() as conn:
        rows = await queries.search(
            conn,
            metadata=wanted.metadata or {},
            values=wanted.values,
            status=wanted.status,
            ids=wanted.ids,
            projects=narrowed(caller, None),
            order=order,
            limit=wanted.limit + 1,
            offset=wanted.offset,
        )
    shown = [views.chosen(_extracted(row, wanted.extract), wanted.select) for row in rows[: wanted.limit]]
    return views.page(shown, limit=wanted.limit, offset=wanted.offset, more=len(rows) > wanted.limit)


@router.post("/count")
async def count(wanted: ThreadsMatching, protocol: Opened, caller: ReaderWithin) -> int:
    """How many match."""
    await protocol.own.show_all()
    async with protocol.db.pool.connection() as conn:
        return await queries.count(
            conn,
            metadata=wanted.metadata or {},
            values=wanted.values,
            status=wanted.status,
            projects=narrowed(caller, None),
        )


@router.post("/prune")
async def prune(wanted: ThreadsPruned, protocol: Opened, _: Submitter) -> dict[str, int]:
    """Forget threads, or all of their history but the newest state."""
    checkpointer = await protocol.db.checkpointer()
    pruned = 0
    for thread_id in wanted.thread_ids:
        if wanted.strategy == "delete":
            await _delete(protocol, thread_id)
        else:
            await checkpointer.aprune([str(thread_id)], strategy="keep_latest")
        pruned += 1
    return {"pruned_count": pruned}


@router.get("/{thread_id}")
async def show(thread_id: UUID, protocol: Opened, _: ThreadReader) -> Response:
    """One thread."""
    return views.answer(views.thread(await states.thread_of(protocol, thread_id)))


@router.get("/{thread_id}/storage")
async def storage(thread_id: UUID, protocol: Opened, _: ThreadReader) -> Response:
    """About how many bytes the thread's newest values take."""
    thread = await states.thread_of(protocol, thread_id)
    return views.answer({"thread_id": thread_id, "bytes": size_of(thread["values"])})


@router.patch("/{thread_id}")
async def change(thread_id: UUID, wanted: ThreadPatch, protocol: Opened, _: ThreadSubmitter) -> Response:
    """Merge metadata in; set how long the thread lives."""
    ttl, expires_at = _ttl(wanted.ttl)
    async with protocol.db.pool.connection() as conn:
        row = await queries.patch(
            conn,
            thread_id,
            metadata=wanted.metadata or {},
            ttl=ttl,
            expires_at=expires_at,
            now=clock.now(),
        )
    if row is None:
        raise no_thread(thread_id)
    return views.answer(views.thread(row))


@router.delete("/{thread_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete(thread_id: UUID, protocol: Opened, _: ThreadSubmitter) -> None:
    """Forget a thread, its runs and its states. A thread that shows a run of the factory's stays."""
    await _delete(protocol, thread_id)


@router.post("/{thread_id}/copy")
async def copy(thread_id: UUID, protocol: Opened, caller: ThreadSubmitter) -> Response:
    """A new thread with the same states."""
    caller.require_project(None)  # what is made is of no project, or of a new one
    thread = await states.thread_of(protocol, thread_id)
    if thread["of_run"]:
        return views.answer(views.thread(await protocol.own.copy(thread, caller.name)))
    target = uuid4()
    async with protocol.db.pool.connection() as conn, conn.transaction():
        await queries.get(conn, thread_id, lock=True)
        if await runs.active(conn, thread_id):
            raise Conflict(
                "A run works on the thread", untouched="Nothing was copied", todo="Wait until it ends"
            )
        await queries.insert(
            conn, target, now=clock.now(), metadata=thread["metadata"], config=thread["config"]
        )
        await events.copy_checkpoints(conn, thread_id, target)
        await queries.settle(
            conn,
            target,
            status=thread["status"],
            values=thread["values"],
            interrupts=thread["interrupts"],
            error=thread["error"],
            now=clock.now(),
        )
    return views.answer(views.thread(await states.thread_of(protocol, target)))


async def _delete(protocol: AgentProtocol, thread_id: UUID) -> None:
    thread = await states.thread_of(protocol, thread_id)
    if thread["of_run"]:
        raise NotHere(
            f"The thread shows run {thread['of_run']}, whose log is the audit",
            untouched="Nothing was forgotten",
            todo="Cancel the run, if that is what you want",
        )
    async with protocol.db.pool.connection() as conn, conn.transaction():
        await queries.get(conn, thread_id, lock=True)
        for run in await runs.active(conn, thread_id):
            await runs.want(conn, run["run_id"], "interrupt")
            await events.ring(conn, f"interrupt {run['run_id']}")
        await queries.delete(conn, thread_id)
        await events.ring(conn, f"ended {thread_id}")
    await (await protocol.db.checkpointer()).adelete_thread(str(thread_id))


async def _fill(protocol: AgentProtocol, thread: DictRow, supersteps: list[Json]) -> None:
    """Give a new thread the states that its graph would have had."""
    thread_id: UUID = thread["thread_id"]
    async with states.graph_of(protocol, thread, "threads.update") as found:
        if found is None:
            raise GraphNotFound("supersteps need a graph", todo="Name graph_id in the thread's metadata")
        graph, name = found
        steps = [
            [StateUpdate(one.get("values"), one.get("as_node")) for one in step.get("updates", [])]
            for step in supersteps
        ]
        try:
            await graph.abulk_update_state({"configurable": {"thread_id": name}}, steps)
        except ValueError as error:
            raise states.UpdateInvalid(str(error)) from error
        snapshot = await graph.aget_state({"configurable": {"thread_id": name}})
    async with protocol.db.pool.connection() as conn:
        await states.settle(conn, thread_id, snapshot)


def _ttl(given: Json | float | None) -> tuple[Json | None, datetime | None]:
    """How long a thread lives, as `{"ttl": minutes, "strategy": …}` or minutes alone."""
    if given is None:
        return None, None
    ttl: Json = given if is_object(given) else {"ttl": given}
    minutes = ttl.get("ttl")
    if not isinstance(minutes, int | float) or not 0 < minutes < 1e7:
        raise BadInput("A ttl is a number of minutes", untouched="Nothing was changed")
    return {"strategy": "delete", **ttl, "ttl_minutes": minutes}, clock.now() + timedelta(minutes=minutes)


def _extracted(row: DictRow, extract: dict[str, str] | None) -> dict[str, Any]:
    view = views.thread(row)
    if extract:
        view["extracted"] = {name: _at(view, path) for name, path in extract.items()}
    return view


def _at(value: Any, path: str) -> Any:
    """What stands at a path such as `values.messages[-1].content`."""
    for part in path.replace("[", ".").replace("]", "").split("."):
        if is_object(value):
            value = value.get(part)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        elif is_array(value) and part.lstrip("-").isdigit() and -len(value) <= int(part) < len(value):  # pyright: ignore[reportUnknownArgumentType]
            value = value[int(part)]  # pyright: ignore[reportUnknownVariableType]
        else:
            return None
    return value  # pyright: ignore[reportUnknownVariableType]
