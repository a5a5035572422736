"""`factory schedule`, straight in the database of this machine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast

from cli import screen as look_of
from cli.running import amount
from cli.screen import Screen, one_line, table
from cli.whoami import whoami
from core.database import Database
from core.events import EventLog
from core.json import JsonObject
from core.settings import Settings
from graph.runner import Factory
from graph.schedules import NoSuchSchedule, Schedule, Schedules, Times, Work, interval


@asynccontextmanager
async def _opened() -> AsyncGenerator[Schedules]:
    async with Database.open(Settings.load()) as db:
        yield Schedules(db, EventLog(db))


def times(cron: str | None, timezone: str | None, every: str | None) -> Times:
    """When it is to be, as it was typed. Raises ScheduleInvalid."""
    return Times(cron, timezone, None if every is None else interval(every))


def work(text: str, *, inbox: bool, pipeline: str, approve_all: bool, budget: str | None) -> Work:
    """What is to be done, as it was typed. Raises BadInput."""
    usd = amount(budget)
    limit = None if usd is None else f"{usd:f}"
    return Work(text, inbox, pipeline, approve_all=approve_all, budget_usd=limit)


async def add(project: str, wanted: Work, when: Times, *, as_json: bool) -> int:
    """Make one; returns 0."""
    screen = Screen(as_json)
    async with Factory.open(Settings.load()) as factory:  # which knows the pipelines
        factory.pipeline(wanted.pipeline)
        added = await factory.schedules.add(project, wanted, when, by=whoami())
    return made(added, screen)


async def list_(project: str | None, *, as_json: bool) -> int:
    """Print them; returns 0."""
    screen = Screen(as_json)
    async with _opened() as schedules:
        found = await schedules.page(projects=None if project is None else [project])
    return listed(found, screen)


async def pause(name: str, *, as_json: bool) -> int:
    """Let one rest; returns 0."""
    screen = Screen(as_json)
    async with _opened() as schedules:
        found = await schedules.pause(the_one(await schedules.page(), name), by=whoami())
    return rests(found, screen)


async def resume(name: str, *, as_json: bool) -> int:
    """Let one go on; returns 0."""
    screen = Screen(as_json)
    async with _opened() as schedules:
        found = await schedules.resume(the_one(await schedules.page(), name), by=whoami())
    return goes_on(found, screen)


async def remove(name: str, *, as_json: bool) -> int:
    """Take one away; returns 0."""
    screen = Screen(as_json)
    async with _opened() as schedules:
        found = await schedules.remove(the_one(await schedules.page(), name), by=whoami())
    return gone(found, screen)


def the_one(schedules: Sequence[Schedule], name: str) -> str:
    """The id that starts with `name`; `name` where there is none. Raises NoSuchSchedule for several."""
    matches = [one.id for one in schedules if one.id.startswith(name)]
    if name in matches or len(matches) == 1:
        return name if name in matches else matches[0]
    if matches:
        raise NoSuchSchedule(
            f"Several schedules start with {name[:80]!r}",
            untouched="Nothing was changed",
            todo="Give more of the id",
        )
    return name  # which is refused by its name


def listed(found: Sequence[Schedule], screen: Screen) -> int:
    """Print schedules; returns 0."""
    if screen.as_json:
        screen.result(cast(JsonObject, {"schedules": [_told(one) for one in found]}))
        return 0
    if not found:
        screen.say('There is no schedule. Make one with: factory schedule add PROJECT "…" --every 1d')
        return 0
    rows = table("id", "project", "times", "next", "last", "what")
    for one in found:
        began = f" {one.last_run}" if one.last_said == "started" else ""
        last = f"{_moment(one.last_due)}: {one.last_said}{began}" if one.last_due else ""
        rows.add_row(
            one.id,
            look_of.clean(one.project),
            look_of.clean(str(one.times)),
            f"paused by {look_of.clean(one.paused_by or '')}" if one.paused_at else _moment(one.next_at),
            look_of.clean(last),
            one_line(one.work.requirement, 60) or "its inbox",
        )
    screen.out.print(rows)
    return 0


def made(schedule: Schedule, screen: Screen) -> int:
    """Print one that begins; returns 0."""
    first = _moment(schedule.next_at)
    return _show(screen, schedule, f"{schedule.id}: {schedule.times}, first at {first}. Workers do it.")


def rests(schedule: Schedule, screen: Screen) -> int:
    """Print one that was paused; returns 0."""
    return _show(screen, schedule, f"{schedule.id} rests until: factory schedule resume {schedule.id}")


def goes_on(schedule: Schedule, screen: Screen) -> int:
    """Print one that was resumed; returns 0."""
    return _show(screen, schedule, f"{schedule.id} goes on at {_moment(schedule.next_at)}.")


def gone(schedule: Schedule, screen: Screen) -> int:
    """Print one that was taken away; returns 0."""
    return _show(screen, schedule, f"{schedule.id} is gone. Runs that it has started go on.")


def _moment(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _told(schedule: Schedule) -> dict[str, Any]:
    told = asdict(schedule)
    work, times = told.pop("work"), told.pop("times")
    return {**told, **work, **times}


def _show(screen: Screen, schedule: Schedule, said: str) -> int:
    if screen.as_json:
        screen.result(cast(JsonObject, _told(schedule)))
    else:
        screen.say(said)
    return 0
