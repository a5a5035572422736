"""`/threads/{thread_id}/state` and `/history`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from api.protocol import states, views
from api.protocol.opened import Opened
from api.protocol.routes.json_route import JsonRoute
from api.protocol.wanted import CheckpointWanted, HistoryWanted, StateChange
from api.protocol.within import ThreadReader, ThreadSubmitter

router = APIRouter(prefix="/threads/{thread_id}", tags=["agent protocol"], route_class=JsonRoute)


@router.get("/state")
async def state(thread_id: UUID, protocol: Opened, _: ThreadReader, subgraphs: bool = False) -> Response:
    """The thread's state."""
    thread = await states.thread_of(protocol, thread_id)
    return views.answer(await states.state(protocol, thread, subgraphs=subgraphs))


@router.post("/state")
async def change(thread_id: UUID, wanted: StateChange, protocol: Opened, caller: ThreadSubmitter) -> Response:
    """Write to the state as a node would; from a checkpoint on, this forks the thread's history there."""
    thread = await states.thread_of(protocol, thread_id)
    done = await states.update(
        protocol,
        thread,
        wanted.values,
        checkpoint=wanted.checkpoint,
        checkpoint_id=wanted.checkpoint_id,
        as_node=wanted.as_node,
        by=caller.name,
    )
    return views.answer(done)


@router.post("/state/checkpoint")
async def at_checkpoint(
    thread_id: UUID, wanted: CheckpointWanted, protocol: Opened, _: ThreadReader
) -> Response:
    """The state at a checkpoint."""
    thread = await states.thread_of(protocol, thread_id)
    return views.answer(await states.state(protocol, thread, wanted.checkpoint, subgraphs=wanted.subgraphs))


@router.get("/state/{checkpoint_id}")
async def of_checkpoint(
    thread_id: UUID, checkpoint_id: str, protocol: Opened, _: ThreadReader, subgraphs: bool = False
) -> Response:
    """The state at a checkpoint."""
    thread = await states.thread_of(protocol, thread_id)
    return views.answer(await states.state(protocol, thread, None, checkpoint_id, subgraphs=subgraphs))


@router.get("/history")
async def history(
    thread_id: UUID,
    protocol: Opened,
    _: ThreadReader,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    before: str | None = None,
) -> Response:
    """The states of the thread, the newest first."""
    return await _history(thread_id, HistoryWanted(limit=limit, before=before), protocol)


@router.post("/history")
async def search_history(
    thread_id: UUID, wanted: HistoryWanted, protocol: Opened, _: ThreadReader
) -> Response:
    """The states of the thread that match, the newest first."""
    return await _history(thread_id, wanted, protocol)


async def _history(thread_id: UUID, wanted: HistoryWanted, protocol: Opened) -> Response:
    thread = await states.thread_of(protocol, thread_id)
    shown = await states.history(
        protocol,
        thread,
        limit=wanted.limit,
        before=wanted.before,
        metadata=wanted.metadata,
        checkpoint=wanted.checkpoint,
    )
    return views.answer(shown)
