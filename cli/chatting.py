"""The chat as `factory serve` serves it: beside the API, with the same people and the same dispatch."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager

from fastapi import FastAPI

from api.service import Service
from chat.desk import Desk
from chat.mounting import mount


@asynccontextmanager
async def with_chat(app: FastAPI, service: Service, url: str) -> AsyncGenerator[Sequence[str]]:
    """Mount the chat while it is open; gives the line that says how to come in."""
    printed = service.access.printed
    async with aclosing(await mount(app, Desk(service.factory, service.dispatch, service.access))):
        yield [f"The chat: {url}/chat" + (f"?token={printed.token}" if printed else "")]
