"""A client of server-sent events, as plain as the format."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Stream:
    """What a client keeps of a stream."""

    lines: AsyncIterator[str]
    last_id: str = ""
    comments: list[str] = field(default_factory=list[str])

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """The data of each event, to the stream's end."""
        data = ""
        async for line in self.lines:
            name, _, value = line.partition(": ")
            if line.startswith(":"):
                self.comments.append(line)
            elif name == "id":
                self.last_id = value
            elif name == "data":
                data += value
            elif not line and data:
                yield json.loads(data)
                data = ""

    async def take(self, count: int) -> list[dict[str, Any]]:
        """So many events."""
        taken: list[dict[str, Any]] = []
        async for event in self.events():
            taken.append(event)
            if len(taken) == count:
                break
        return taken


@asynccontextmanager
async def streaming(
    http: httpx.AsyncClient, path: str, *, last_id: str | None = None, **query: Any
) -> AsyncIterator[Stream]:
    """A stream that was answered with 200."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    async with http.stream("GET", path, params=query, headers=headers) as answer:
        assert answer.status_code == 200, (await answer.aread()).decode()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        yield Stream(answer.aiter_lines())
