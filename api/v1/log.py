"""`/api/v1/runs/{run_id}/events` and `/stages`: what happened in a run, from its event log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from api.access import Reader
from api.door import DoorRoute
from api.found import ThisRun
from api.paging import After, Limit, Listing, Page
from api.service import Serving
from api.v1.wanted import Name, TeamName
from core.errors import NotFound
from core.events import Event
from graph.progress import Progress, RowState, StageRow
from memory.audit.replay import Texts, Told, steps

router = APIRouter(prefix="/runs/{run_id}", route_class=DoorRoute)


class EventShown(BaseModel):
    """One thing that happened."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    seq: int
    """1 for the first event of the run, without gaps."""
    at: datetime
    kind: str
    """`noun.verb`, such as `stage.started`."""
    team: str | None
    payload: dict[str, Any]
    hash: str
    """sha256 over the hash before, the position and the stored text, in hex."""


class EventPage(Page[EventShown]):
    """Events of one run, in their order."""


class StageShown(BaseModel):
    """How one stage goes."""

    model_config = ConfigDict(frozen=True)

    team: str
    name: str
    wave: int
    """Stages of one wave work side by side."""
    state: RowState
    verdict: str | None
    attempts: int
    seconds: float
    tokens: int
    cost_usd: str
    doing: str | None
    skipped_because: str | None
    started_at: datetime | None
    ended_at: datetime | None


class StageList(BaseModel):
    """The stages of a run, in the order of the pipeline; none before the plan."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    stages: list[StageShown]


class TextShown(BaseModel):
    """A text that the audit keeps."""

    model_config = ConfigDict(frozen=True)

    name: str
    text: str
    note: str
    """What is wrong with it: forgotten, for one. Empty as a rule."""


class StageWork(BaseModel):
    """What a stage was given in its last attempt, and what it handed over."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    stage: StageShown
    brief: TextShown | None
    result: Any
    """The team's result as it was validated; null before the end."""
    files: list[TextShown]


@router.get("/events", tags=["events"])
async def list_(
    service: Serving,
    _: Reader,
    run: ThisRun,
    kind: Annotated[
        list[Name] | None, Query(max_length=50, description="Only events of these kinds.")
    ] = None,
    limit: Limit = 100,
    after: After = None,
) -> EventPage:
    """The run's events so far, in their order, a page at a time."""
    kinds = sorted(set(kind or ()))
    listing = Listing("events", {"r": run.id, "k": kinds}, (int,))
    place = listing.read(after)
    found = await service.factory.events.read(
        run.id, after=place[0] if place else 0, limit=limit + 1, kinds=kinds or None
    )
    shown, next_ = listing.page(found, limit, lambda event: (event.seq,))
    return EventPage(items=[event_shown(event) for event in shown], next=next_)


@router.get("/stages", tags=["runs"])
async def stages(service: Serving, _: Reader, run: ThisRun) -> StageList:
    """How the stages of a run go."""
    progress = await service.factory.progress(run.id)
    return StageList(run_id=run.id, stages=[_shown(row) for row in progress.rows])


@router.get("/stages/{team}", tags=["runs"])
async def stage(service: Serving, _: Reader, run: ThisRun, team: TeamName) -> StageWork:
    """One stage: its brief, its result, and the files that it handed over."""
    events = await service.factory.events.read(run.id)
    rows = {row.team: row for row in Progress.of(events).rows}
    if team not in rows:
        raise NotFound(
            f"Run {run.id} has no stage {team[:80]!a}", todo=f"It has: {', '.join(rows) or 'none yet'}"
        )
    mine = [step for step in steps(events) if step.team == team]
    texts = Texts(events, await service.factory.events.texts(run.id, [e.seq for s in mine for e in s.events]))
    brief = next((found for step in reversed(mine) if (found := texts.brief(step)) is not None), None)
    result = next((found for step in reversed(mine) if (found := texts.result(step)) is not None), None)
    files = next((found for step in reversed(mine) if (found := texts.files(step))), list[Told]())
    return StageWork(
        run_id=run.id,
        stage=_shown(rows[team]),
        brief=None if brief is None else _text(brief),
        result=result,
        files=[_text(file) for file in files],
    )


def event_shown(event: Event) -> EventShown:
    """An event for programs."""
    return EventShown(
        run_id=event.run_id,
        seq=event.seq,
        at=event.at,
        kind=event.kind,
        team=event.team,
        payload=event.payload,
        hash=event.hash,
    )


def _text(told: Told) -> TextShown:
    return TextShown(name=told.name.removeprefix("file:"), text=told.text, note=told.note)


def _shown(row: StageRow) -> StageShown:
    return StageShown(
        team=row.team,
        name=row.name,
        wave=row.wave,
        state=row.state,
        verdict=row.verdict or None,
        attempts=row.attempts,
        seconds=round(row.seconds, 3),
        tokens=row.tokens,
        cost_usd=f"{row.cost_usd:.6f}",
        doing=row.doing or None,
        skipped_because=row.skipped_because or None,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )
