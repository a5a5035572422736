"""`/health`, `/ready` and `/metrics`."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response, status
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from api.access import Caller, anybody, may
from api.operations.metrics import Metrics
from api.operations.ready import Part, Ready

router = APIRouter(tags=["operations"])


class ReadinessTold(BaseModel):
    """Whether the service can do its work now."""

    ready: bool
    parts: dict[Part, str]
    """`ok`, or what is wrong."""


@router.get("/health", dependencies=[Depends(anybody)])
async def health() -> dict[str, str]:
    """Whether the process answers. It asks nothing of anybody, so that it is never slow."""
    return {"status": "ok"}


@router.get(
    "/ready",
    dependencies=[Depends(anybody)],
    responses={503: {"model": ReadinessTold, "description": "A part of the service does not work."}},
)
async def ready(request: Request, response: Response) -> ReadinessTold:
    """Whether the service can do its work now: database, migrations, queue, models."""
    found = await cast(Ready, request.app.state.ready).look()
    if not found.ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return ReadinessTold(ready=found.ready, parts=found.parts)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request, _: Annotated[Caller, Depends(may("metrics"))]) -> Response:
    """What Prometheus scrapes; with a token that may `metrics`."""
    found = await cast(Metrics, request.app.state.metrics).scrape()
    return Response(found, media_type=CONTENT_TYPE_LATEST)
