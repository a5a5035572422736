"""What a request works with: the open factory, who drives its runs, and who may come in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request

from api.webhooks.hooks import Webhooks
from core.hub import Hub
from governance.access import Accounts
from graph.runner import Factory


class Dispatch(Protocol):
    """Sees to it that a run is executed, here or elsewhere."""

    async def go_on(self, run_id: str) -> None:
        """Have the run driven until it ends or waits; also after a person answered."""
        ...


@dataclass(frozen=True)
class Service:
    """One per server process; `app.state.service`."""

    factory: Factory
    dispatch: Dispatch
    access: Accounts
    """Who may come in."""

    @cached_property
    def webhooks(self) -> Webhooks:
        """Who is told over HTTP of what happens."""
        return Webhooks(self.factory.db, self.factory.events, self.factory.settings)

    @property
    def hub(self) -> Hub:
        """Follows the event log for all readers of this process."""
        return self.factory.hub


async def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


Serving = Annotated[Service, Depends(_service)]
"""For a route's parameter: `async def route(service: Serving)`."""
