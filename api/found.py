"""What a path names: looked up once for a request, so that who may see it and what is shown are one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, cast

from fastapi import Depends, Path, Request
from pydantic import JsonValue

from core.errors import NotFound
from governance.approvals import Approval
from graph import answering
from graph.runs import Run

if TYPE_CHECKING:
    from api.service import Service

LONGEST = 200
"""Characters of a name in a path."""
SLASHES: Final[dict[str, JsonValue]] = {"x-slashes": True}
"""Says of a name in a path that its slashes stay what they are."""


async def run_of(request: Request) -> Run:
    """The run that the path names: by its id, the unique beginning of one, or `last`. Raises NotFound."""
    known: Run | None = getattr(request.state, "run", None)
    if known is None:
        runs = _service(request).factory.services.runs
        known = await runs.named(str(request.path_params["run_id"]))
        request.state.run = known
    return known


async def approval_of(request: Request) -> Approval:
    """The question that the path names: by its id, or the unique beginning of an open one's."""
    known: Approval | None = getattr(request.state, "approval", None)
    if known is None:
        approvals = _service(request).factory.approvals
        known = await answering.find(approvals, str(request.path_params["approval_id"]))
        request.state.approval = known
    return known


async def project_of(request: Request) -> str | None:
    """The project that the path leads to; None where it leads to none, or to nothing."""
    given = request.path_params
    if "project" in given:
        return str(given["project"])
    try:
        if "run_id" in given:
            return (await run_of(request)).project
        if "approval_id" in given:
            run_id = (await approval_of(request)).run_id
            return (await _service(request).factory.services.run(run_id)).project
    except NotFound:
        pass
    return None


def _service(request: Request) -> Service:
    return cast("Service", request.app.state.service)


async def _this_run(
    request: Request,
    run_id: Annotated[
        str,
        Path(
            description="A run's id, the unique beginning of one, or `last`.",
            examples=["run-01kahm3x8q9c4w5e6r7t8y9z0a"],
            max_length=LONGEST,
        ),
    ],
) -> Run:
    return await run_of(request)


async def _this_approval(
    request: Request,
    approval_id: Annotated[
        str,
        Path(
            description="A question's id, or the unique beginning of an open one's.",
            examples=["approval-01kahm3x8q9c4w5e6r7t8y9z0a"],
            max_length=LONGEST,
        ),
    ],
) -> Approval:
    return await approval_of(request)


ThisRun = Annotated[Run, Depends(_this_run)]
"""For a route's parameter, with `{run_id}` in its path, after the parameter that says who may."""
ThisApproval = Annotated[Approval, Depends(_this_approval)]
