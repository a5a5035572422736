"""The protocol beside the rest of what a server serves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from api.protocol import routes
from api.protocol.opened import PATIENCE, AgentProtocol
from api.service import Service
from api.serving import Beside


def install(app: FastAPI, protocol: AgentProtocol) -> None:
    """Have an application answer to the protocol's paths."""
    app.state.protocol = protocol
    # Its own clients know its paths; the document at /openapi.json, and clients made of it, are of /api/v1.
    app.include_router(routes.router, include_in_schema=False)


def spoken(graphs: Path | None, *, alone: bool = True) -> Beside:
    """The protocol for `serve`, with the graphs of a `langgraph.json` where one is given.

    Not `alone`, it leaves their runs to workers, and executes only what none of them takes for a while.
    """

    @asynccontextmanager
    async def opened(app: FastAPI, service: Service, url: str) -> AsyncGenerator[Sequence[str]]:
        patience = 0.0 if alone else PATIENCE
        async with AgentProtocol.open(service, graphs_file=graphs, patience=patience) as protocol:
            install(app, protocol)
            names = ", ".join(protocol.graphs.foreign)
            by = "" if alone else f" (for workers; here, where none takes a run for {PATIENCE:.0f} s)"
            yield [f"Graphs beside the factory's own{by}: {names}"] if names else []

    return opened
