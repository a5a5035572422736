"""`/runs/crons`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from api.access import Reader, Submitter
from api.protocol import assistants, crons, states, views
from api.protocol.errors import CronNotFound
from api.protocol.opened import Opened
from api.protocol.queries import crons as queries
from api.protocol.routes.json_route import JsonRoute
from api.protocol.wanted import CronPatch, CronsMatching, CronWanted

router = APIRouter(tags=["agent protocol"], route_class=JsonRoute)


@router.post("/runs/crons")
async def create(wanted: CronWanted, protocol: Opened, caller: Submitter) -> Response:
    """Runs at the times of a schedule, each on a thread of its own."""
    return views.answer(views.cron(await crons.create(protocol, wanted, None, caller.name)))


@router.post("/threads/{thread_id}/runs/crons")
async def create_for_thread(
    thread_id: UUID, wanted: CronWanted, protocol: Opened, caller: Submitter
) -> Response:
    """Runs at the times of a schedule, all on one thread."""
    await states.thread_of(protocol, thread_id)
    return views.answer(views.cron(await crons.create(protocol, wanted, thread_id, caller.name)))


async def _match(wanted: CronsMatching, protocol: Opened) -> dict[str, Any]:
    assistant_id = None
    if wanted.assistant_id is not None:
        async with protocol.db.pool.connection() as conn:
            assistant_id = (await assistants.find(conn, wanted.assistant_id))["assistant_id"]
    return {
        "metadata": wanted.metadata or {},
        "assistant_id": assistant_id,
        "thread_id": wanted.thread_id,
        "enabled": wanted.enabled,
    }


@router.post("/runs/crons/search")
async def search(wanted: CronsMatching, protocol: Opened, _: Reader) -> Response:
    """The crons that match."""
    order = f"{wanted.sort_by or 'created_at'} {wanted.sort_order or 'desc'}, cron_id"
    match = await _match(wanted, protocol)
    async with protocol.db.pool.connection() as conn:
        rows = await queries.search(conn, order=order, limit=wanted.limit + 1, offset=wanted.offset, **match)
    found = [views.chosen(views.cron(row), wanted.select) for row in rows[: wanted.limit]]
    return views.page(found, limit=wanted.limit, offset=wanted.offset, more=len(rows) > wanted.limit)


@router.post("/runs/crons/count")
async def count(wanted: CronsMatching, protocol: Opened, _: Reader) -> int:
    """How many match."""
    match = await _match(wanted, protocol)
    async with protocol.db.pool.connection() as conn:
        return await queries.count(conn, **match)


@router.get("/runs/crons/{cron_id}")
async def show(cron_id: UUID, protocol: Opened, _: Reader) -> Response:
    """One cron."""
    return views.answer(views.cron(await crons.get(protocol, cron_id)))


@router.patch("/runs/crons/{cron_id}")
async def change(cron_id: UUID, wanted: CronPatch, protocol: Opened, _: Submitter) -> Response:
    """Change a cron."""
    return views.answer(views.cron(await crons.change(protocol, cron_id, wanted)))


@router.delete("/runs/crons/{cron_id}")
async def delete(cron_id: UUID, protocol: Opened, _: Submitter) -> dict[str, Any]:
    """Forget a cron. Runs that it has started go on."""
    async with protocol.db.pool.connection() as conn:
        if not await queries.delete(conn, cron_id):
            raise CronNotFound(f"There is no cron {cron_id}")
    return {}
