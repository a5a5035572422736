"""A stage holds a lease while its nodes work, and tells who else is at the same paths."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import wraps
from typing import Any, Final

import psycopg

from core import logs
from core.errors import FactoryError
from core.tasks import end
from graph.nodes import Node
from graph.stage_context import StageContext
from graph.state import StageState
from teams import globs
from workspace.leases import LASTS, Lease

_BEAT: Final = LASTS.total_seconds() / 4
"""Seconds between two renewals while a node works."""


async def lease_of(stage: StageContext, state: StageState) -> Lease:
    """What the stage claims."""
    project = (await stage.repository(state)).name
    return Lease(state["run_id"], stage.key(state), project, stage.team.id, stage.team_in(state).paths)


def leased(stage: StageContext, function: Node[StageState]) -> Node[StageState]:
    """Renew the stage's lease for as long as a node of it works."""

    @wraps(function)
    async def held(state: StageState) -> dict[str, Any]:
        async with _held(stage, await lease_of(stage, state)):
            return await function(state)

    return held


async def tell_others(stage: StageContext, state: StageState) -> None:
    """An event for each other run of the project that works where this stage may write."""
    mine = await lease_of(stage, state)
    for other in await stage.services.leases.live(mine.project):
        if other.run_id == mine.run_id:
            continue  # the stages of a wave are known to share paths, and meet at the run's branch
        shared = [path for path in mine.paths if any(globs.overlap(path, theirs) for theirs in other.paths)]
        if shared:
            what = {"run": other.run_id, "team": other.team, "stage": other.stage, "paths": list(shared)}
            await stage.event(state, "lease.shared", {**what}, f"lease/{other.run_id}/{other.stage}")


def noting(stage: StageContext, state: StageState) -> Callable[[str], Awaitable[str]]:
    """What a tool calls after it has written a file: a remark for the model where others write it too."""

    async def note(path: str) -> str:
        mine = await lease_of(stage, state)
        others = await stage.services.leases.wrote(mine, path)
        if not others:
            return ""
        who = ", ".join(
            other.team if other.run_id == mine.run_id else f"{other.team} of {other.run_id}"
            for other in others
        )
        return f"{who} is changing this file too: keep your change small, for both will be made one"

    return note


async def give_back(stage: StageContext, state: StageState) -> None:
    """The stage has ended."""
    await stage.services.leases.give_back(state["run_id"], stage.key(state))


@asynccontextmanager
async def _held(stage: StageContext, lease: Lease) -> AsyncGenerator[None]:
    await stage.services.leases.hold(lease)
    beating = asyncio.create_task(_beat(stage, lease))
    try:
        with logs.about(team=stage.team.id):
            yield
    finally:
        await end(beating)


async def _beat(stage: StageContext, lease: Lease) -> None:
    # A lease is no reason to stop: a database that is gone stops the node by itself.
    with suppress(FactoryError, psycopg.Error):
        while True:
            await asyncio.sleep(_BEAT)
            await stage.services.leases.renew(lease)
