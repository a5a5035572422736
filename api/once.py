"""`Idempotency-Key`: a request that is sent again is answered again, and done once.

The caller and the key name a row. Who makes it answers the request; who comes meanwhile waits for that
answer, and who comes later gets it. Where the first process died in the middle, the next request of that key
takes over. What the request does is named by the row's `effect_id`, the same however often it is tried, so
that a run that was made is found again and no second one is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final

import psycopg
from fastapi import Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError

from api import queries
from api.access import NotPermitted, NotSignedIn, identify
from api.door import DoorRoute, Handler
from core import clock, faults, logs
from core.database import Database
from core.errors import BadInput, FactoryError
from core.tasks import end

KEPT: Final = 24 * 3600.0
"""Seconds that an answer is kept."""
LEASE: Final = 10.0
"""Seconds of silence after which the holder of a request counts as dead."""
_RENEW: Final = 3.0
_PATIENCE: Final = 25.0
"""Seconds that a request waits for the same one that is being answered."""
_LONGEST: Final = 255
_KEPT_HEADERS: Final = ("content-type", "location", "etag")
_PURGE_EVERY: Final = 600.0

logger = logs.get(__name__)


class KeyReused(BadInput):
    """The Idempotency-Key was given with another request."""


class KeyInvalid(BadInput):
    """The Idempotency-Key cannot be used."""


class UnderWay(BadInput):
    """The same request is still being answered."""

    http_status = 409

    def http_headers(self) -> dict[str, str]:
        """When to ask again."""
        return {"Retry-After": "2"}


@dataclass(frozen=True, slots=True)
class Effect:
    """What a request's doing is named by."""

    id: str
    """The same for each attempt at a request with an Idempotency-Key."""
    again: bool = False
    """An earlier attempt did not come to its end; what it did stands."""
    since: datetime | None = None
    """When the first attempt began, by the database's clock."""

    def named(self, prefix: str) -> str:
        """An id for what is made, such as `run-01k…`."""
        return f"{prefix}-{self.id}"


def _fresh() -> str:
    return clock.new_id("x").partition("-")[2]


def _effect(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Names the request: sent again within 24 hours, it is not done again, and gets the "
            "first answer. 1 to 255 printable ASCII characters, such as a UUID.",
            max_length=_LONGEST,
        ),
    ] = None,
) -> Effect:
    found: Effect | None = getattr(request.state, "effect", None)
    return found or Effect(_fresh())


Once = Annotated[Effect, Depends(_effect)]
"""For a route's parameter; its router's `route_class` is OnceRoute."""


class OnceRoute(DoorRoute):
    """A route whose POST is done once for each Idempotency-Key."""

    def answering(self) -> Handler:
        """The handler, behind the table of keys."""
        handle = super().answering()
        if "POST" not in (self.methods or ()):
            return handle

        async def once(request: Request) -> Response:
            key = request.headers.get("idempotency-key")
            return await handle(request) if key is None else await _once(request, key, handle)

        return once


async def _once(request: Request, key: str, handle: Handler) -> Response:
    if not 1 <= len(key) <= _LONGEST or not key.isascii() or not key.isprintable():
        raise KeyInvalid(
            f"An Idempotency-Key has 1 to {_LONGEST} printable ASCII characters",
            untouched="Nothing was done",
            todo="Use a UUID",
        )
    caller = await identify(request)
    body = sha256(await request.body()).hexdigest()
    keys = Keys(request.app.state.service.factory.db)
    name = sha256(f"{caller.name}\n{key}".encode()).hexdigest()
    what = sha256(f"{request.method} {request.url.path}?{request.url.query}\n{body}".encode()).hexdigest()
    return await keys.answer(name, what, request, handle)


class Keys:
    """The table of keys."""

    _purged = float("-inf")

    def __init__(self, db: Database) -> None:
        self._db = db

    async def answer(self, name: str, what: str, request: Request, handle: Handler) -> Response:
        """The first answer to this request; made now, where there is none yet."""
        await self._purge()
        until, pause = clock.monotonic() + _PATIENCE, 0.02
        while True:
            holder = _fresh()
            async with self._db.pool.connection() as conn:
                mine = await queries.claim(
                    conn, id=name, request=what, effect_id=_fresh(), holder=holder, kept=KEPT, lease=LEASE
                )
                if mine is None:
                    known = await queries.claimed(conn, name)
                else:
                    known = None
            if mine is not None:
                request.state.effect = Effect(mine["effect_id"], mine["attempts"] > 1, mine["created_at"])
                return await self._make(name, holder, request, handle)
            if known is not None and known["request"] != what:
                raise KeyReused(
                    "This Idempotency-Key was given with another request",
                    untouched="Nothing was done",
                    todo="Use a new key for a new request",
                )
            if known is not None and known["status"] is not None:
                headers = {**known["headers"], "Idempotent-Replayed": "true"}
                return Response(known["body"].encode(), known["status"], headers)
            if clock.monotonic() > until:
                raise UnderWay(untouched="It goes on", todo="Send it again in a moment, with the same key")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    async def _make(self, name: str, holder: str, request: Request, handle: Handler) -> Response:
        living = asyncio.create_task(self._live(name, holder), name="idempotency lease")
        try:
            response = await handle(request)
            faults.point("once.done")
            body = bytes(response.body).decode()
            headers = {each: response.headers[each] for each in _KEPT_HEADERS if each in response.headers}
            async with self._db.pool.connection() as conn:
                await queries.answer(
                    conn, name, holder, status=response.status_code, headers=headers, body=body
                )
            return response
        except (RequestValidationError, NotSignedIn, NotPermitted):
            # Refused before anything was done: the key is free for the request as it should be.
            await self._after(queries.drop, name, holder)
            raise
        except BaseException:
            # What was done stands, and the next attempt goes on from there, under the same name.
            await asyncio.shield(self._after(queries.let_go, name, holder))
            raise
        finally:
            await end(living)

    async def _after(self, statement: Callable[..., Awaitable[None]], name: str, holder: str) -> None:
        with suppress(FactoryError, psycopg.Error):  # then it is free when its lease is over
            async with self._db.pool.connection() as conn:
                await statement(conn, name, holder)

    async def _live(self, name: str, holder: str) -> None:
        while True:
            await asyncio.sleep(_RENEW)
            await self._after(queries.alive, name, holder)

    async def _purge(self) -> None:
        if clock.monotonic() - Keys._purged > _PURGE_EVERY:
            Keys._purged = clock.monotonic()
            async with self._db.pool.connection() as conn:
                await queries.purge(conn, KEPT)
