"""`factory schedule` at a server's factory."""

from __future__ import annotations

from datetime import datetime
from typing import overload

from api.client import Client
from api.client.models import ScheduleShown, ScheduleWanted
from cli import scheduling
from cli.remote.connecting import opened
from cli.screen import Screen
from graph.schedules import Schedule, Times, Work


async def add(server: str, project: str, wanted: Work, when: Times, *, as_json: bool) -> int:
    """Make one; returns 0."""
    screen = Screen(as_json)
    asked: ScheduleWanted = {
        "project": project,
        "requirement": wanted.requirement,
        "inbox": wanted.inbox,
        "cron": when.cron,
        "timezone": when.timezone,
        "seconds": None if when.seconds is None else int(when.seconds),
        "pipeline": wanted.pipeline,
        "approve_all": wanted.approve_all,
        "budget_usd": wanted.budget_usd,
    }
    async with opened(server, screen) as client:
        return scheduling.made(_schedule(await client.schedules_add(asked)), screen)


async def list_(server: str, project: str | None, *, as_json: bool) -> int:
    """Print them; returns 0."""
    screen = Screen(as_json)
    async with opened(server, screen) as client:
        return scheduling.listed(await _all(client, project), screen)


async def pause(server: str, name: str, *, as_json: bool) -> int:
    """Let one rest; returns 0."""
    screen = Screen(as_json)
    async with opened(server, screen) as client:
        found = await client.schedules_pause(scheduling.the_one(await _all(client), name))
    return scheduling.rests(_schedule(found), screen)


async def resume(server: str, name: str, *, as_json: bool) -> int:
    """Let one go on; returns 0."""
    screen = Screen(as_json)
    async with opened(server, screen) as client:
        found = await client.schedules_resume(scheduling.the_one(await _all(client), name))
    return scheduling.goes_on(_schedule(found), screen)


async def remove(server: str, name: str, *, as_json: bool) -> int:
    """Take one away; returns 0."""
    screen = Screen(as_json)
    async with opened(server, screen) as client:
        found = await client.schedules_show(scheduling.the_one(await _all(client), name))
        await client.schedules_remove(found["id"])
    return scheduling.gone(_schedule(found), screen)


async def _all(client: Client, project: str | None = None) -> list[Schedule]:
    found: list[Schedule] = []
    after: str | None = None
    while True:
        page = await client.schedules_list(project=project, limit=200, after=after)
        found += map(_schedule, page["items"])
        after = page["next"]
        if after is None:
            return found


def _schedule(told: ScheduleShown) -> Schedule:
    return Schedule(
        id=told["id"],
        project=told["project"],
        work=Work(
            told["requirement"],
            told["inbox"],
            told["pipeline"],
            approve_all=told["approve_all"],
            budget_usd=told["budget_usd"],
        ),
        times=Times(told["cron"], told["timezone"], told["seconds"]),
        next_at=_at(told["next_at"]),
        paused_at=_at(told["paused_at"]),
        paused_by=told["paused_by"],
        created_by=told["created_by"],
        created_at=_at(told["created_at"]),
        last_due=_at(told["last_due"]),
        last_run=told["last_run"],
        last_said=told["last_said"],
    )


@overload
def _at(moment: str) -> datetime: ...
@overload
def _at(moment: None) -> None: ...
def _at(moment: str | None) -> datetime | None:
    return None if moment is None else datetime.fromisoformat(moment)
