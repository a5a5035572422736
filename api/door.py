"""Routes whose door stands before their body: who may not come in is told so before a byte of it is read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.access import May, identify

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class DoorRoute(APIRoute):
    """A route that looks at the caller first. FastAPI reads a body before it asks any dependency."""

    def get_route_handler(self) -> Handler:
        """What `answering` gives, behind the door."""
        doors, answer = list(_doors(self.dependant)), self.answering()

        async def guarded(request: Request) -> Response:
            for door in doors:
                await door(request)
            return await answer(request)

        return guarded if doors else answer

    def answering(self) -> Handler:
        """What answers who was let in; FastAPI's own."""
        return super().get_route_handler()


def _doors(dependant: Dependant) -> Iterator[Callable[[Request], Coroutine[Any, Any, object]]]:
    if isinstance(dependant.call, May):
        yield dependant.call
    elif dependant.call is identify:
        yield identify
    for inner in dependant.dependencies:
        yield from _doors(inner)
