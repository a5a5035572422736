"""`/api/v1/schedules`: what projects are given again and again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, status
from pydantic import BaseModel, ConfigDict, Field

from api.access import Caller, ReaderWithin, may, narrowed
from api.once import Once, OnceRoute
from api.paging import After, Limit, Listing, Page
from api.service import Service, Serving
from api.v1.runs import amount
from api.v1.wanted import Money, Name, Wanted
from graph.requirement import MOST_REQUIREMENT
from graph.schedules import Schedule, Times, Work
from graph.schedules.times import LEAST, MOST

router = APIRouter(prefix="/schedules", tags=["schedules"], route_class=OnceRoute)

ConfigurerWithin = Annotated[Caller, Depends(may("configure", within=True))]
ScheduleId = Annotated[
    Name, Path(description="A schedule's id.", examples=["schedule-01kahm3x8q9c4w5e6r7t8y9z0a"])
]


class ScheduleWanted(Wanted):
    """A schedule to be: by `cron`, or every so many `seconds`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "project": "library",
                    "requirement": "Look for dependencies that are out of date, and update them.",
                    "cron": "0 6 * * 1-5",
                    "timezone": "Europe/Berlin",
                    "budget_usd": "0.50",
                }
            ]
        }
    )

    project: Name
    requirement: Annotated[
        str,
        Field(
            max_length=2 * MOST_REQUIREMENT,
            description="What each run is given: a change of what the project holds, or a requirement where "
            "it holds nothing yet.",
        ),
    ] = ""
    inbox: Annotated[
        bool,
        Field(description="In place of a requirement: make a run of each new letter in the project's inbox."),
    ] = False
    cron: Annotated[
        Name | None, Field(description="Five fields, as in `0 6 * * 1-5`, read in `timezone`.")
    ] = None
    timezone: Annotated[Name | None, Field(description="As in Europe/Berlin; UTC where none is given.")] = (
        None
    )
    seconds: Annotated[
        int | None, Field(ge=int(LEAST), le=int(MOST), description="From one time to the next.")
    ] = None
    pipeline: Name = "full"
    approve_all: Annotated[
        bool, Field(description="Approve what would wait for a person; takes the permission to approve.")
    ] = False
    budget_usd: Annotated[
        Money | None, Field(description="What each run may spend on models; no more than is set.")
    ] = None


class ScheduleShown(BaseModel):
    """A schedule, and what became of its last time."""

    model_config = ConfigDict(frozen=True)

    id: str
    project: str
    requirement: str
    inbox: bool
    """Whether the letters of the project's inbox are what runs are given."""
    pipeline: str
    approve_all: bool
    budget_usd: str | None
    cron: str | None
    timezone: str | None
    seconds: float | None
    next_at: datetime
    """When it is due; a schedule that rests is not."""
    paused_at: datetime | None
    paused_by: str | None
    created_by: str
    created_at: datetime
    last_due: datetime | None
    """The last time that has come."""
    last_run: str | None
    """The last run that was made."""
    last_said: str | None
    """What became of the last time: started, or skipped or refused and why."""


class SchedulePage(Page[ScheduleShown]):
    """Schedules in the order in which they were made."""


@router.post("", status_code=status.HTTP_201_CREATED)
async def add(
    wanted: ScheduleWanted, service: Serving, caller: ConfigurerWithin, once: Once
) -> ScheduleShown:
    """Have workers submit a run at each of these times, on behalf of who asks for it here."""
    caller.require_project(wanted.project)
    if wanted.approve_all:
        caller.require("approve")
    service.factory.pipeline(wanted.pipeline)
    budget = amount(wanted.budget_usd)
    work = Work(
        wanted.requirement,
        wanted.inbox,
        wanted.pipeline,
        approve_all=wanted.approve_all,
        budget_usd=None if budget is None else f"{budget:f}",
    )
    times = Times(wanted.cron, wanted.timezone, wanted.seconds)
    made = await service.factory.schedules.add(
        wanted.project, work, times, by=caller.name, schedule_id=once.named("schedule")
    )
    return _shown(made)


@router.get("")
async def list_(
    service: Serving,
    caller: ReaderWithin,
    project: Annotated[Name | None, Query(description="Of this project only.")] = None,
    limit: Limit = 100,
    after: After = None,
) -> SchedulePage:
    """The schedules."""
    projects = narrowed(caller, project)
    listing = Listing("schedules", {"p": projects}, (str,))
    place = listing.read(after)
    found = await service.factory.schedules.page(
        after=place[0] if place else None, limit=limit + 1, projects=projects
    )
    shown, next_ = listing.page(found, limit, lambda one: (one.id,))
    return SchedulePage(items=[_shown(one) for one in shown], next=next_)


@router.get("/{schedule_id}")
async def show(schedule_id: ScheduleId, service: Serving, caller: ReaderWithin) -> ScheduleShown:
    """One schedule."""
    return _shown(await _theirs(service, schedule_id, caller))


@router.delete("/{schedule_id}", status_code=status.HTTP_204_NO_CONTENT)
async def remove(schedule_id: ScheduleId, service: Serving, caller: ConfigurerWithin) -> None:
    """Take a schedule away. Runs that it has started go on."""
    await _theirs(service, schedule_id, caller)
    await service.factory.schedules.remove(schedule_id, by=caller.name)


@router.post("/{schedule_id}/pause")
async def pause(
    schedule_id: ScheduleId, service: Serving, caller: ConfigurerWithin, once: Once
) -> ScheduleShown:
    """Let a schedule rest until it is resumed. Runs that it has started go on."""
    await _theirs(service, schedule_id, caller)
    return _shown(await service.factory.schedules.pause(schedule_id, by=caller.name))


@router.post("/{schedule_id}/resume")
async def resume(
    schedule_id: ScheduleId, service: Serving, caller: ConfigurerWithin, once: Once
) -> ScheduleShown:
    """Let a schedule go on with its next time; what came while it rested is not made up."""
    await _theirs(service, schedule_id, caller)
    return _shown(await service.factory.schedules.resume(schedule_id, by=caller.name))


async def _theirs(service: Service, schedule_id: str, caller: Caller) -> Schedule:
    """A schedule that the caller's token reaches. Raises NoSuchSchedule, NotPermitted."""
    found = await service.factory.schedules.get(schedule_id)
    caller.require_project(found.project)
    return found


def _shown(schedule: Schedule) -> ScheduleShown:
    work, times = schedule.work, schedule.times
    return ScheduleShown(
        id=schedule.id,
        project=schedule.project,
        requirement=work.requirement,
        inbox=work.inbox,
        pipeline=work.pipeline,
        approve_all=work.approve_all,
        budget_usd=work.budget_usd,
        cron=times.cron,
        timezone=times.timezone,
        seconds=times.seconds,
        next_at=schedule.next_at,
        paused_at=schedule.paused_at,
        paused_by=schedule.paused_by,
        created_by=schedule.created_by,
        created_at=schedule.created_at,
        last_due=schedule.last_due,
        last_run=schedule.last_run,
        last_said=schedule.last_said,
    )
