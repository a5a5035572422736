"""Server-sent events from a hub's reader to one client: nobody is waited for, nothing is kept for long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import connections
from core import logs
from core.feed import Noted, Slice
from core.hub import ReaderTooSlow, Subscription
from core.tasks import end

RETRY: Final = 2_000
"""Milliseconds that a client waits before it comes back."""
STALLED: Final = 30.0
"""Seconds that one write may take."""
_PIECE: Final = 65_536
"""Bytes that are written at once: with what the socket's buffer takes, all that waits for a slow client."""

logger = logs.get(__name__)

Over = Callable[[Slice], Awaitable[bool]]
Admitted = Callable[[], Awaitable[bool]]


def of_run(some: Slice) -> bytes:
    """Frames whose id is the place in the run."""
    return b"".join(_frame(noted.seq, noted) for noted in some.items)


def of_all(some: Slice) -> bytes:
    """Frames whose id is the place among the events of all runs."""
    return b"".join(_frame(noted.position or 0, noted) for noted in some.items)


def _frame(number: int, noted: Noted) -> bytes:
    return f"id: {number}\ndata: {as_json(noted)}\n\n".encode()


def as_json(noted: Noted) -> str:
    """An event as a client gets it: the record with what was said in it, and around it where it stands."""
    # No part needs to be escaped: a record is canonical JSON, and a project's name is a slug.
    project = "null" if noted.project is None else f'"{noted.project}"'
    position = "null" if noted.position is None else noted.position
    return (
        f'{{"position":{position},"project":{project},"seq":{noted.seq},'
        f'"prev_hash":"{noted.prev_hash}","hash":"{noted.hash}",{noted.told[1:]}'
    )


class EventStream(Response):
    """A response that goes on until `over`, or the client goes or is too slow, or the server ends."""

    media_type = "text/event-stream"

    def __init__(
        self,
        reader: Subscription,
        make: Callable[[Slice], bytes],
        *,
        heartbeat: float,
        admitted: Admitted,
        over: Over | None = None,
    ) -> None:
        """`admitted` says at each heartbeat whether the client may still read; without, the stream ends."""
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._reader = reader
        self._make = make
        self._over = over
        self._heartbeat = heartbeat
        self._admitted = admitted
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. A client that is cut comes back with the id of the last event that it got."""
        connection = connections.of(scope)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        waits: list[Coroutine[Any, Any, Any]] = [
            self._pump(send),
            _gone(receive),
            self._reader.cut(),
            self._beat(send),
        ]
        if connection is not None:
            waits.append(connection.ending.wait())
        tasks = [asyncio.create_task(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(*tasks)
            pumped, _, cut, beat, *_ = await asyncio.gather(*tasks, return_exceptions=True)
        failure = next((each for each in (pumped, beat) if _is_failure(each)), None)
        if failure is not None:
            logger.error("stream of events failed", error=repr(failure))
        if connection is not None and (failure is not None or cut is None or _is_cut(pumped)):
            # It would only be closed after the client has read what waits, which it does not do.
            connection.abort()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, send: Send) -> None:
        await self._write(send, f"retry: {RETRY}\n\n".encode())
        async with aclosing(self._reader.slices()) as slices:
            async for some in slices:
                await self._write(send, some.made(self._make))
                if self._over is not None and await self._over(some):
                    return

    async def _beat(self, send: Send) -> None:
        """Something now and then, for proxies, and to notice who is gone; and how far the log has come."""
        while True:
            await asyncio.sleep(self._heartbeat)
            if not await self._admitted():
                return
            if not self._turn.locked():
                await self._write(send, b": alive\n\n" + self._place())

    def _place(self) -> bytes:
        # An id without data sets where to come back, and is no event.
        position = self._reader.position
        return b"" if self._make is of_run or position is None else f"id: {position}\n\n".encode()

    async def _write(self, send: Send, data: bytes) -> None:
        async with self._turn:
            for start in range(0, len(data), _PIECE):
                piece = data if len(data) <= _PIECE else data[start : start + _PIECE]
                async with asyncio.timeout(STALLED):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _is_cut(end: object) -> bool:
    return isinstance(end, ReaderTooSlow | TimeoutError)


def _is_failure(end: object) -> bool:
    return isinstance(end, Exception) and not _is_cut(end)
