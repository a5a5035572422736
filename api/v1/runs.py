"""`/api/v1/runs`: give work, see how far it is, and move it along."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query, Response, status
from pydantic import BaseModel, ConfigDict, Field

from api.access import Caller, Controller, Reader, ReaderWithin, Submitter, SubmitterWithin, narrowed
from api.etags import Tags
from api.found import ThisRun
from api.once import Effect, Once, OnceRoute
from api.paging import After, Limit, Listing, Page
from api.service import Service, Serving
from api.v1.wanted import Money, Name, Wanted
from graph import control, purging
from graph.lifecycle import RunStatus
from graph.requirement import MOST_REQUIREMENT
from graph.runs import Run
from graph.submitting import Terms
from graph.summary import RunSummary
from graph.turns import IfActive
from models.spending.amount import AmountInvalid, usd

router = APIRouter(tags=["runs"], route_class=OnceRoute)


IfActiveWanted = Annotated[
    IfActive | None,
    Field(
        description="What becomes of runs that are active in the project: reject refuses this one with 409; "
        "enqueue has it wait until they are over; interrupt pauses them; rollback cancels them (both take "
        "the permission to control). Without it runs are worked on side by side."
    ),
]


class RunWanted(Wanted):
    """A requirement that is to be worked on."""

    requirement: Annotated[
        str,
        Field(
            max_length=2 * MOST_REQUIREMENT,
            description=f"What to build, for whom: text, at most {MOST_REQUIREMENT:,} characters.",
            examples=["A lending library: members borrow books and bring them back."],
        ),
    ]
    project: Annotated[
        Name | None,
        Field(description="The project to work in; named after the requirement where none is given."),
    ] = None
    pipeline: Annotated[Name, Field(examples=["full"])] = "full"
    approve_all: Annotated[
        bool, Field(description="Approve what would wait for a person; takes the permission to approve.")
    ] = False
    budget_usd: Annotated[
        Money | None, Field(description="What it may spend on models; no more than is set for the project.")
    ] = None
    if_active: IfActiveWanted = None


class ChangeWanted(Wanted):
    """A change of what a finished run made, or of what a project holds."""

    target: Annotated[Name, Field(description="A finished run or a project.", examples=["library"])]
    text: Annotated[
        str,
        Field(max_length=2 * MOST_REQUIREMENT, examples=["Members have a phone number"]),
    ]
    pipeline: Annotated[Name | None, Field(description="The newest run's where none is given.")] = None
    approve_all: bool = False
    budget_usd: Money | None = None
    if_active: IfActiveWanted = None


class RunRecord(BaseModel):
    """What a run was given, and when."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    project: str
    status: RunStatus
    requirement: str
    pipeline: str
    model: str | None
    """The model behind every team, where one was chosen."""
    approve_all: bool
    by: str | None
    """Who submitted it; null where that is not recorded."""
    budget_usd: str | None
    changes: str | None
    """The run or project that it changes; null where it builds from its requirement alone."""
    round: int
    """Which round of review it is in, from 1."""
    rollbacks: int
    created_at: datetime
    ended_at: datetime | None
    kept_until: datetime | None
    """Before then it cannot be purged; null while it has not ended."""
    purged: bool
    """Whether what it was given and said was removed."""


class RunPage(Page[RunSummary]):
    """Runs, the newest first."""


class RollbackWanted(Wanted):
    """Where to take a run back to."""

    stage: Annotated[
        Name,
        Field(
            description="The team whose end to go back to, or `plan` for before them all.", examples=["plan"]
        ),
    ]


class Reasoned(Wanted):
    """Why."""

    reason: Annotated[str, Field(max_length=2_000, description="For the record.")] = ""


@router.post("/runs", status_code=status.HTTP_201_CREATED)
async def submit(
    wanted: RunWanted, service: Serving, caller: SubmitterWithin, once: Once, response: Response
) -> RunSummary:
    """Record a run and have it executed."""
    caller.require_project(wanted.project)
    run_id = await service.factory.submit(
        wanted.requirement,
        project=wanted.project,
        pipeline=wanted.pipeline,
        again=once.again,
        **_terms(wanted, caller, once),
    )
    return await _begun(service, run_id, response)


@router.post("/changes", status_code=status.HTTP_201_CREATED)
async def change(
    wanted: ChangeWanted, service: Serving, caller: SubmitterWithin, once: Once, response: Response
) -> RunSummary:
    """Record a run that changes what is there; only the teams that it concerns work."""
    target, project = await _target(service, wanted.target)
    caller.require_project(project)
    terms = _terms(wanted, caller, once)
    run_id = await service.factory.change(target, wanted.text, pipeline=wanted.pipeline, **terms)
    return await _begun(service, run_id, response)


def _terms(wanted: RunWanted | ChangeWanted, caller: Caller, once: Once) -> Terms:
    """On what terms a run is recorded, where the caller may set them."""
    if wanted.approve_all:
        caller.require("approve")
    if wanted.if_active in {"interrupt", "rollback"}:
        caller.require("control")
    return Terms(
        approve_all=wanted.approve_all,
        budget_usd=amount(wanted.budget_usd),
        widens=False,
        by=caller.name,
        if_active=wanted.if_active,
        run_id=once.named("run"),
    )


@router.get("/runs")
async def list_(
    service: Serving,
    caller: ReaderWithin,
    project: Annotated[Name | None, Query(description="Of this project only.")] = None,
    status: Annotated[list[RunStatus] | None, Query(description="In one of these states.")] = None,
    pipeline: Annotated[Name | None, Query(description="Through this pipeline only.")] = None,
    limit: Limit = 20,
    after: After = None,
) -> RunPage:
    """The runs, the newest first."""
    projects, statuses = narrowed(caller, project), sorted(set(status or ()))
    listing = Listing("runs", {"p": projects, "s": statuses, "l": pipeline}, (datetime, str))
    found = await service.factory.services.runs.page(
        after=listing.read(after), limit=limit + 1, projects=projects, statuses=statuses, pipeline=pipeline
    )
    shown, next_ = listing.page(found, limit, lambda run: (run.created_at, run.id))
    return RunPage(items=[await service.factory.summary_of(run) for run in shown], next=next_)


@router.get("/runs/{run_id}")
async def show(service: Serving, _: Reader, run: ThisRun, tags: Tags) -> RunSummary:
    """How far a run has come."""
    summary = await service.factory.summary_of(run)
    tags.show(summary)
    return summary


@router.get("/runs/{run_id}/record")
async def record(service: Serving, _: Reader, run: ThisRun) -> RunRecord:
    """What a run was given: its requirement, pipeline, budget."""
    return _record(run, purging.kept_until(run, service.factory.settings.retention_days))


@router.post("/runs/{run_id}/cancel", status_code=status.HTTP_202_ACCEPTED)
async def cancel(
    service: Serving, caller: Controller, run: ThisRun, once: Once, wanted: Reasoned | None = None
) -> RunSummary:
    """Have a run end as cancelled, whichever process drives it. What it merged stays on its branch."""
    reason = wanted.reason if wanted else ""
    if not (once.again and run.status == "cancelled"):
        await control.cancel(service.factory.services, run.id, by=caller.name, reason=reason)
    return await service.factory.summary(run.id)


@router.post("/runs/{run_id}/pause", status_code=status.HTTP_202_ACCEPTED)
async def pause(
    service: Serving, caller: Controller, run: ThisRun, once: Once, wanted: Reasoned | None = None
) -> RunSummary:
    """Have a run stand still until it is resumed; its questions stay open."""
    reason = wanted.reason if wanted else ""
    await control.pause(service.factory.services, run.id, by=caller.name, reason=reason)
    return await service.factory.summary(run.id)


@router.post("/runs/{run_id}/resume", status_code=status.HTTP_202_ACCEPTED)
async def resume(service: Serving, caller: Submitter, run: ThisRun, once: Once) -> RunSummary:
    """Have a run that was interrupted or paused go on. One that goes on already is left to do so."""
    await control.resume(service.factory.services, run.id, by=caller.name)
    await service.dispatch.go_on(run.id)
    return await service.factory.summary(run.id)


@router.post("/runs/{run_id}/rollback")
async def rollback(
    wanted: RollbackWanted, service: Serving, caller: Controller, run: ThisRun, once: Once
) -> RunSummary:
    """Take a run back to where a stage had ended. It waits there until it is resumed; nothing is lost."""
    if not (once.again and await _rolled_back(service, run.id, wanted.stage, caller, once)):
        await service.factory.roll_back(run.id, wanted.stage, by=caller.name)
    return await service.factory.summary(run.id)


@router.post("/runs/{run_id}/retry", status_code=status.HTTP_201_CREATED)
async def retry(
    service: Serving, caller: Submitter, run: ThisRun, once: Once, response: Response
) -> RunSummary:
    """Begin anew with what an ended run was given: a run of its own, in the same project."""
    if run.approve_all:
        caller.require("approve")
    run_id = await service.factory.retry(run.id, by=caller.name, new_id=once.named("run"))
    return await _begun(service, run_id, response)


async def _target(service: Service, name: str) -> tuple[str, str]:
    """What a change is of, and its project: a project, or a run by its id."""
    factory = service.factory
    if factory.services.workspace.has(name):
        return name, name
    run = await factory.services.runs.named(name)
    return run.id, run.project


async def _begun(service: Service, run_id: str, response: Response) -> RunSummary:
    # It was put into the queue by the transaction that recorded it.
    response.headers["Location"] = f"/api/v1/runs/{run_id}"
    return await service.factory.summary(run_id)


async def _rolled_back(service: Service, run_id: str, stage: str, caller: Caller, once: Effect) -> bool:
    """Whether the attempt before this one had come to its end."""
    done = await service.factory.events.read(run_id, kinds=["run.rolled_back"])
    last = done[-1] if done else None
    return (
        last is not None
        and last.payload["stage"] == stage
        and last.payload["by"] == caller.name
        and once.since is not None
        and last.at >= once.since
    )


def amount(budget: str | None) -> Decimal | None:
    """US dollars of `budget_usd`. Raises AmountInvalid."""
    try:
        return None if budget is None else usd(budget)
    except AmountInvalid as invalid:
        raise AmountInvalid(
            f"budget_usd: {invalid.what}", untouched="Nothing was started", todo=invalid.todo
        ) from None


def _record(run: Run, kept_until: datetime | None) -> RunRecord:
    return RunRecord(
        run_id=run.id,
        project=run.project,
        status=run.status,
        requirement=run.requirement,
        pipeline=run.pipeline,
        model=run.model,
        approve_all=run.approve_all,
        by=run.by or None,
        budget_usd=None if run.budget_usd is None else f"{run.budget_usd:f}",
        changes=(run.change["of"] or run.project) if run.change else None,
        round=run.revision + 1,
        rollbacks=run.rollbacks,
        created_at=run.created_at,
        ended_at=run.ended_at,
        kept_until=kept_until,
        purged=run.purged,
    )
