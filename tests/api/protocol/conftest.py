"""The protocol over real HTTP, spoken by LangGraph's own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from api.protocol.opened import AgentProtocol
from tests.api.conftest import TOKEN, OpenServed, Served, open_served  # noqa: F401  (a fixture)
from tests.doubles.fixtures import ollama_server  # noqa: F401  (a fixture)
from tests.graph.conftest import open_small  # noqa: F401  (a fixture)

GRAPHS = Path(__file__).parent / "graphs"


@dataclass(frozen=True)
class Spoken:
    """A server that speaks the protocol, and a client."""

    served: Served
    client: LangGraphClient

    @property
    def http(self) -> httpx.AsyncClient:
        """Sends the owner's token."""
        return self.served.http

    @property
    def protocol(self) -> AgentProtocol:
        """What is served."""
        return self.served.app.state.protocol


OpenProtocol = Callable[..., AbstractAsyncContextManager[Spoken]]


@pytest.fixture
def open_protocol(open_served: OpenServed) -> OpenProtocol:  # noqa: F811
    """Opens a server on the small pack and the graphs of this folder."""

    @asynccontextmanager
    async def opened(**more: Any) -> AsyncIterator[Spoken]:
        async with open_served(graphs=GRAPHS, **more) as served:
            client = get_client(url=served.url, api_key=TOKEN)
            try:
                yield Spoken(served, client)
            finally:
                await client.http.client.aclose()

    return opened


async def told(stream: AsyncIterator[Any]) -> list[tuple[str, Any]]:
    """A whole stream: (event, data)."""
    return [(part.event, part.data) async for part in stream]


async def until(spoken: Spoken, thread_id: str, step: str) -> None:
    """Wait until a state has the step: told by the thread's history, which the run writes."""
    async with asyncio.timeout(30):
        while True:
            values = (await spoken.client.threads.get_state(thread_id))["values"]
            if step in values.get("steps", []) and values["steps"][-1] == "first":
                return
            await asyncio.sleep(0.02)
