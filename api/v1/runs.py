"""`/api/v1/runs`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, status
from pydantic import BaseModel, ConfigDict, Field

from api.access import Caller, Reader, may
from api.service import Serving
from graph.runner import MOST_REQUIREMENT
from graph.summary import RunSummary

router = APIRouter(prefix="/runs", tags=["runs"])


class RunWanted(BaseModel):
    """A requirement that is to be worked on."""

    model_config = ConfigDict(extra="forbid")

    requirement: Annotated[str, Field(max_length=2 * MOST_REQUIREMENT)]
    project: str | None = None
    pipeline: str = "full"
    approve_all: bool = False


@router.post("", status_code=status.HTTP_201_CREATED)
async def submit(
    wanted: RunWanted, service: Serving, caller: Annotated[Caller, Depends(may("submit", within=True))]
) -> RunSummary:
    """Record a run and have it executed."""
    caller.require_project(wanted.project)
    run_id = await service.factory.submit(
        wanted.requirement,
        project=wanted.project,
        pipeline=wanted.pipeline,
        approve_all=wanted.approve_all,
        widens=False,
    )
    await service.dispatch.go_on(run_id)
    return await service.factory.summary(run_id)


@router.get("/{run_id}")
async def show(run_id: str, service: Serving, _: Reader) -> RunSummary:
    """How far a run has come."""
    return await service.factory.summary(run_id)
