"""A service in this process, served over real HTTP on loopback, with the small pack behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.perimeter.server import configured
from api.protocol.opened import AgentProtocol
from api.protocol.serving import install
from api.service import Service
from core.listening import listen
from governance.access import Accounts
from governance.access.accounts import Printed
from graph.queue.driving import Dispatch
from graph.runner import Factory
from tests.doubles.fixtures import ollama_server  # noqa: F401  (a fixture)
from tests.graph.conftest import OpenSmall, open_small  # noqa: F401  (a fixture)

TOKEN = "test-token-of-the-owner"


@dataclass(frozen=True)
class Served:
    """A service that answers."""

    url: str
    service: Service
    http: httpx.AsyncClient
    """Sends the owner's token."""
    app: FastAPI

    @property
    def factory(self) -> Factory:
        """What is served."""
        return self.service.factory


OpenServed = Callable[..., AbstractAsyncContextManager[Served]]


@asynccontextmanager
async def served_over_http(service: Service, protocol: AgentProtocol | None = None) -> AsyncIterator[Served]:
    """The service's application on a free port of loopback, in this event loop."""
    listening, host, port = listen("127.0.0.1:0")
    app = create_app(service)
    if protocol is not None:
        install(app, protocol)
    config = configured(app, grace=1, proxies=service.factory.settings.proxies)
    server = uvicorn.Server(config)
    with listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        url = f"http://{host}:{port}"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        # Over plain HTTP: to read the system's certificates takes longer than most tests.
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, verify=False) as http:
            try:
                yield Served(url, service, http, app)
            finally:
                server.should_exit = True
                await serving


@pytest.fixture
def open_served(open_small: OpenSmall) -> OpenServed:  # noqa: F811
    """Opens a service on the small pack; takes what `open_small` takes. With no `jobs` nothing is driven."""

    @asynccontextmanager
    async def opened(
        rules: Mapping[str, Any] | None = None,
        *,
        jobs: int = 2,
        protocol: bool = False,
        graphs: Path | None = None,
        patience: float = 0.0,
        **more: Any,
    ) -> AsyncIterator[Served]:
        async with (
            open_small(rules, **more) as factory,
            Dispatch.open(factory) as dispatch,
            AsyncExitStack() as stack,
        ):
            accounts = Accounts.of(factory.db, factory.settings, printed=Printed(TOKEN, "owner"))
            service = Service(factory, dispatch, accounts)
            spoken = None
            if protocol or graphs:
                opening = AgentProtocol.open(service, graphs_file=graphs, patience=patience)
                spoken = await stack.enter_async_context(opening)
            await stack.enter_async_context(dispatch.working(jobs))
            async with served_over_http(service, spoken) as served:
                yield served

    return opened
