"""A thread's states: what LangGraph's checkpoints keep, read, changed and forked through its graph."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from langgraph.errors import InvalidUpdateError
from langgraph.types import StateSnapshot, StateUpdate
from psycopg.rows import DictRow

from api.protocol import configuring, views
from api.protocol.encoding import plain
from api.protocol.errors import Conflict, GraphNotFound, NotHere, no_thread
from api.protocol.graphs import Access, Compiled
from api.protocol.opened import AgentProtocol
from api.protocol.presenting import Message
from api.protocol.queries import events, runs, threads
from core import clock
from core.errors import BadInput
from core.json import is_array


class UpdateInvalid(BadInput):
    """The state cannot be changed like that."""


async def thread_of(protocol: AgentProtocol, thread_id: UUID) -> DictRow:
    """The thread, brought up to date where it shows a run of the factory; raises ThreadNotFound."""
    async with protocol.db.pool.connection() as conn:
        row = await threads.get(conn, thread_id)
        if row is None and await protocol.own.adopt(conn, thread_id):
            row = await threads.get(conn, thread_id)
    if row is None:
        raise no_thread(thread_id)
    return await protocol.own.current(row) if row["of_run"] else row


@asynccontextmanager
async def graph_of(
    protocol: AgentProtocol, thread: DictRow, access: Access
) -> AsyncGenerator[tuple[Compiled, str] | None]:
    """The thread's graph and the id under which its checkpoints lie; None before it has a graph."""
    if thread["of_run"]:
        yield await protocol.own.graph(thread["of_run"]), thread["of_run"]
        return
    graph_id: str | None = thread["metadata"].get("graph_id")
    if graph_id is None or protocol.graphs.get(graph_id).of_factory:
        yield None
        return
    config = {"configurable": {"thread_id": str(thread["thread_id"]), "graph_id": graph_id}}
    async with protocol.graphs.get(graph_id).opened(access, config) as graph:
        yield graph, str(thread["thread_id"])


async def state(
    protocol: AgentProtocol,
    thread: DictRow,
    checkpoint: Mapping[str, Any] | None = None,
    checkpoint_id: str | None = None,
    *,
    subgraphs: bool = False,
) -> dict[str, Any]:
    """The newest state, or one at a checkpoint."""
    async with graph_of(protocol, thread, "threads.read") as found:
        if found is None:
            return views.state(_nothing())
        graph, name = found
        config = configuring.at_checkpoint(name, checkpoint, checkpoint_id)
        snapshot = await _read(graph.aget_state(config, subgraphs=subgraphs))
        newest = checkpoint is None and checkpoint_id is None
        return _shown(thread, snapshot, await _told(protocol, thread), newest=newest)


async def history(
    protocol: AgentProtocol,
    thread: DictRow,
    *,
    limit: int,
    before: Mapping[str, Any] | str | None,
    metadata: Mapping[str, Any] | None,
    checkpoint: Mapping[str, Any] | None,
) -> list[dict[str, Any]]:
    """The states of a thread, the newest first."""
    async with graph_of(protocol, thread, "threads.read") as found:
        if found is None:
            return []
        graph, name = found
        config = configuring.at_checkpoint(name, checkpoint)
        earlier = None
        if before:
            given: Any = {"checkpoint_id": before} if isinstance(before, str) else before
            earlier = configuring.at_checkpoint(name, given.get("configurable", given))
        shown: list[dict[str, Any]] = []
        messages = await _told(protocol, thread)
        async for one in graph.aget_state_history(
            config, limit=limit, before=earlier, filter=dict(metadata or {}) or None
        ):
            shown.append(_shown(thread, one, messages, newest=not shown and not before))
        return shown


async def update(
    protocol: AgentProtocol,
    thread: DictRow,
    values: Any,
    *,
    checkpoint: Mapping[str, Any] | None,
    checkpoint_id: str | None,
    as_node: str | None,
    by: str,
) -> dict[str, Any]:
    """Write to a thread's state as a node would, at its end or from a checkpoint on.

    Raises Conflict, NotHere, GraphNotFound, UpdateInvalid.
    """
    thread_id: UUID = thread["thread_id"]
    if thread["of_run"]:
        raise NotHere(
            "The state of a run of the factory follows from its log and its repository, not from a client",
            untouched="Nothing was changed",
            todo="Answer its question, send it back in its review, or fork it with POST /threads/ID/copy",
        )
    async with graph_of(protocol, thread, "threads.update") as found:
        if found is None:
            raise GraphNotFound(
                "The thread has no graph yet", todo="Start a run on it, or name graph_id in its metadata"
            )
        graph, name = found
        async with protocol.db.pool.connection() as conn, conn.transaction():
            # While the thread is held, nobody starts a run on it.
            if await threads.get(conn, thread_id, lock=True) is None or await runs.active(conn, thread_id):
                raise Conflict(
                    "A run works on the thread", untouched="Nothing was changed", todo="Wait until it ends"
                )
            config = configuring.at_checkpoint(name, checkpoint, checkpoint_id)
            config["metadata"] = {"updated_by": by}
            try:
                if is_array(values):
                    given: Any = list(values)
                    after = await graph.abulk_update_state(config, [_superstep(given, as_node)])
                else:
                    after = await graph.aupdate_state(config, values, as_node=as_node)
            except (InvalidUpdateError, ValueError, TypeError, KeyError) as error:
                raise UpdateInvalid(
                    f"{type(error).__name__}: {error}", untouched="Nothing was changed"
                ) from error
            snapshot = await graph.aget_state(configuring.at_checkpoint(name, None))
            await settle(conn, thread_id, snapshot)
            await events.ring(conn, f"thread {thread_id}")
    return {"checkpoint": views.checkpoint(after), **({"configurable": views.checkpoint(after)})}


async def settle(conn: threads.Connection, thread_id: UUID, snapshot: StateSnapshot) -> None:
    """Note what a thread's state is now that no run has written."""
    await threads.settle(
        conn,
        thread_id,
        status="interrupted" if snapshot.next else "idle",
        values=plain(snapshot.values),
        interrupts=views.interrupts_by_task(snapshot),
        error=None,
        now=clock.now(),
    )


def _superstep(values: list[Any], as_node: str | None) -> list[Any]:
    return [StateUpdate(one, as_node) for one in values]


def _nothing() -> StateSnapshot:
    return StateSnapshot({}, (), {"configurable": {}}, None, None, None, (), ())


async def _read(reading: Any) -> StateSnapshot:
    try:
        return await reading
    except ValueError as error:  # a checkpoint's name that is none
        raise UpdateInvalid(str(error)) from error


async def _told(protocol: AgentProtocol, thread: DictRow) -> list[Message]:
    """A factory's run as a conversation; nothing for any other thread."""
    return await protocol.own.messages(thread["of_run"]) if thread["of_run"] else []


def _shown(
    thread: DictRow, snapshot: StateSnapshot, messages: list[Message], *, newest: bool
) -> dict[str, Any]:
    """A state; that of a factory's run with the conversation until then."""
    shown = views.state(snapshot)
    if not thread["of_run"]:
        return shown
    for place in (shown["checkpoint"], shown["parent_checkpoint"]):
        if place:
            place["thread_id"] = str(thread["thread_id"])
    until = None if newest or not snapshot.created_at else datetime.fromisoformat(snapshot.created_at)
    told = [one.view for one in messages if until is None or one.at <= until]
    shown["values"] = {**plain(shown["values"]), "messages": told}
    return shown
