"""`/api/v1/runs/{run_id}/purge`: remove what a run kept, when its time is over."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from api.access import Caller, may
from api.found import ThisRun
from api.once import Once, OnceRoute
from api.service import Serving
from api.v1.runs import Reasoned
from api.v1.wanted import Name
from core.errors import BadInput
from graph import purging

router = APIRouter(tags=["runs"], route_class=OnceRoute)


class PurgeWanted(Reasoned):
    """That it is meant."""

    confirm: Annotated[Name, Field(description="The run's id in full: it cannot be undone.")]


class PurgedShown(BaseModel):
    """What was removed of a run."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    kept_until: datetime
    """Until when it had to be kept."""
    texts: int
    """Texts beside its events."""
    rows: int
    """Rows of checkpoints and of questions, and its own."""
    worktrees: int


class NotConfirmed(BadInput):
    """A purge is to be confirmed."""


@router.post("/runs/{run_id}/purge")
async def purge(
    wanted: PurgeWanted,
    service: Serving,
    caller: Annotated[Caller, Depends(may("purge"))],
    run: ThisRun,
    once: Once,
) -> PurgedShown:
    """Remove for good what an ended run was given, said and could go on from, once its time is over.

    Its chain of events stays whole, with a mark where each text was; so do its costs and what it merged.
    """
    if wanted.confirm != run.id:
        raise NotConfirmed(
            f"`confirm` is not the id of the run {run.id}",
            untouched="Nothing was removed",
            todo="Say it in full",
        )
    done = await purging.purge(service.factory.services, run.id, by=caller.name, reason=wanted.reason)
    return PurgedShown(**asdict(done))
