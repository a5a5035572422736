"""Events as they happen: of one run, or of all, as server-sent events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response, status

from api import streaming
from api.access import Admission, Caller, Reader, bearer, may
from api.door import DoorRoute
from api.found import ThisRun
from api.service import Service, Serving
from api.streaming import EventStream
from api.v1.wanted import Name
from core.errors import BadInput
from core.feed import Slice, Wanted

router = APIRouter(tags=["events"], route_class=DoorRoute)

ENDS = "run.ended"
"""After this kind of event a run's stream ends; it always comes, also where other kinds were asked for."""
_LARGEST = 2**63 - 1

_ANSWERS = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "The stream."},
}


class PositionInvalid(BadInput):
    """The position to go on from is no number."""


After = Annotated[
    int | None,
    Query(ge=0, le=_LARGEST, description="Go on after this id. `Last-Event-ID` counts before it."),
]
LastEventId = Annotated[
    str | None,
    Header(description="The id of the last event that came; a browser sends it by itself."),
]
Kinds = Annotated[
    list[Name] | None,
    Query(alias="kind", max_length=50, description="Only these kinds: `run.ended`, or `run.*`."),
]


@router.get(
    "/runs/{run_id}/events/stream",
    response_class=Response,
    responses={
        **_ANSWERS,
        204: {"description": "The run has ended and there is nothing more: do not come back."},
    },
)
async def of_run(
    request: Request,
    service: Serving,
    caller: Reader,
    run: ThisRun,
    kinds: Kinds = None,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Stream a run's events: those there were, then those to come, to the run's end. Ids are `seq`."""
    wanted = Wanted(run.id, kinds=None if kinds is None else (*kinds, ENDS))
    end = _End(service, wanted)
    place = _place(last_event_id, after) or 0
    if await end.reached(place):
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    return _stream(service, wanted, place, Admission(service.access, bearer(request), caller), end.is_over)


@router.get("/events/stream", response_class=Response, responses={**_ANSWERS})
async def of_all(
    request: Request,
    service: Serving,
    caller: Annotated[Caller, Depends(may("read", within=True))],
    runs: Annotated[
        list[Name] | None, Query(alias="run", max_length=50, description="Only these runs.")
    ] = None,
    projects: Annotated[
        list[Name] | None, Query(alias="project", max_length=50, description="Only these projects.")
    ] = None,
    kinds: Kinds = None,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Stream the events of all runs, from now on or after a position; ids are positions."""
    place = _place(last_event_id, after)
    if place:
        await service.hub.known(place)
    wanted = Wanted(
        runs=_some(runs),
        kinds=_some(kinds),
        projects=_seen(caller, projects),
        # What is of no project, such as who signed in, is the audit's.
        of_projects=not caller.may("audit"),
    )
    return _stream(service, wanted, place, Admission(service.access, bearer(request), caller))


def _seen(caller: Caller, projects: list[str] | None) -> tuple[str, ...] | None:
    bound = caller.scopes.projects
    if projects is None:
        return None if bound is None else tuple(sorted(bound))
    for project in projects:
        caller.require_project(project)
    return tuple(projects)


def _stream(
    service: Service,
    wanted: Wanted,
    place: int | None,
    admission: Admission,
    over: streaming.Over | None = None,
) -> EventStream:
    return EventStream(
        service.hub.subscribe(wanted, place),
        streaming.of_all if wanted.run_id is None else streaming.of_run,
        over=over,
        admitted=admission.stands,
        heartbeat=service.factory.settings.stream_heartbeat,
    )


def _some(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


class _End:
    """Whether a run's stream has come to its end."""

    def __init__(self, service: Service, wanted: Wanted) -> None:
        assert wanted.run_id is not None
        self._service = service
        self._wanted = wanted
        self._run_id = wanted.run_id
        self._near = False

    async def reached(self, after: int) -> bool:
        """Whether the run has ended and nothing that is wanted comes after `after`."""
        marks = await self._service.factory.events.read(self._run_id, kinds=[ENDS, "run.rolled_back"])
        self._near = bool(marks) and marks[-1].kind == ENDS
        return self._near and not (await self._service.hub.past(self._wanted, after))[0]

    async def is_over(self, some: Slice) -> bool:
        """The same, once a slice was sent. A run that was rolled back has ended before, and goes on."""
        if self._near or any(noted.kind == ENDS for noted in some.items):
            return await self.reached(some.items[-1].seq)
        return False


def _place(last_event_id: str | None, after: int | None) -> int | None:
    if last_event_id is None or not last_event_id.strip():
        return after
    if not (last_event_id.isascii() and last_event_id.isdecimal()) or int(last_event_id[:20]) > _LARGEST:
        raise PositionInvalid(
            f"Last-Event-ID is {last_event_id[:40]!a}, and no event has such an id",
            untouched="Nothing was sent",
            todo="Send the id of an event of this stream, or leave the header out",
        )
    return int(last_event_id)
