"""The outermost layer of the application: each request passes it first, and each answer last."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.perimeter.addresses import Names, grouped, is_own
from api.perimeter.denials import DENIED, Denials
from api.perimeter.limits import Limits
from core import clock, logs
from core.errors import FactoryError
from core.json import JsonObject
from core.redaction import redact
from core.tasks import CLEANING, end

REQUEST_ID: Final = "x-request-id"
BODY_SECONDS: Final = 60.0
"""For which a request's body may take to arrive."""

_GOOD_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ALWAYS: Final[Mapping[str, str]] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-site",
}
_UNLESS_SAID: Final[Mapping[str, str]] = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "private, no-cache",
}
_DATA: Final = ("application/json", "application/problem+json", "text/plain", "text/event-stream")
"""What is no page, and no part of one. A page says itself what it may load."""
_ENDS_CONNECTION: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
"""After which nobody reads the rest of the body."""
_TURNED_AWAY: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
"""Likewise, where it was not read before."""

logger = logs.get(__name__)


class BodyTooLarge(FactoryError):
    """The request's body is too large."""

    http_status = 413


class Watch(Protocol):
    """Is told about each answer; for metrics."""

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """An answer has ended, or its client has gone. Status 0: there was none."""
        ...


@dataclass
class Perimeter:
    """What one server process knows about those who speak to it."""

    names: Names
    limits: Limits
    denials: Denials
    watch: Watch | None = None
    most_body: int = 10_000_000
    """Bytes of a request's body."""
    body_seconds: float = BODY_SECONDS

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Write denials for as long as this is open."""
        keeper = asyncio.create_task(self.denials.keep(), name="denied requests")
        try:
            yield
        finally:
            await end(keeper, again=CLEANING)


@dataclass
class Gate:
    """The ASGI middleware; pure, so that streams pass as they are."""

    app: ASGIApp
    perimeter: Perimeter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        passage = _Passage(self.perimeter, scope, send, Headers(scope=scope))
        with logs.about(request_id=passage.id):
            try:
                passage.check()
            except FactoryError as refused:
                await passage.refuse(refused, receive)
            else:
                await self.app(scope, passage.receiving(receive), passage.send)
            finally:
                passage.end()


@dataclass
class _Passage:
    """One request on its way."""

    perimeter: Perimeter
    scope: Scope
    out: Send
    headers: Headers
    began: float = field(default_factory=clock.monotonic)
    status: int = 0
    id: str = ""
    address: str = ""
    unread: bool = False
    """Whether there is a body of which not all was read."""

    def __post_init__(self) -> None:
        given = self.headers.get(REQUEST_ID, "")
        self.id = given if _GOOD_ID.fullmatch(given) else clock.new_id("req")
        client = self.scope.get("client")
        self.address = client[0] if client else ""
        state: dict[str, Any] = self.scope.setdefault("state", {})
        state["request_id"] = self.id
        state["address"] = grouped(self.address)
        state["perimeter"] = self.perimeter

    def check(self) -> None:
        """Raises what turns the request away."""
        self.perimeter.names.check(self.headers.get("host", ""), self.headers.get("origin"))
        if not is_own(self.address):
            self.perimeter.limits.of_address(grouped(self.address))
        said = self.headers.get("content-length", "")
        if said.isdecimal() and int(said[:20]) > self.perimeter.most_body:
            raise BodyTooLarge(
                f"The body has {said[:20]} bytes; the most is {self.perimeter.most_body}",
                untouched="Nothing was done, and nothing of it was read",
            )

    async def refuse(self, error: FactoryError, receive: Receive) -> None:
        """Answer with the error."""
        self.scope["state"]["refusal"] = error.code
        if self.scope["type"] == "websocket":
            # To refuse before it is accepted is a 403 on the wire.
            self.status = error.http_status
            await self.out({"type": "websocket.close", "code": 1008, "reason": error.code})
        else:
            await problems.answer(error)(self.scope, receive, self.send)

    def receiving(self, receive: Receive) -> Receive:
        """The client's messages, the body's in time."""
        if self.scope["type"] != "http":
            return receive
        ends = self.began + self.perimeter.body_seconds
        size, told = 0, self.headers
        whole = False
        self.unread = told.get("content-length", "0") != "0" or "transfer-encoding" in told

        async def within() -> Message:
            nonlocal whole, size
            if whole:  # what comes now is the client's going, for which a stream waits as long as it likes
                return await receive()
            try:
                async with asyncio.timeout(max(ends - clock.monotonic(), 0.001)):
                    message = await receive()
            except TimeoutError:
                # Of what reading a body raises, FastAPI lets nothing else through.
                detail = f"The body did not arrive within {self.perimeter.body_seconds:g} s"
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, detail) from None
            size += len(message.get("body", b""))
            if size > self.perimeter.most_body:
                detail = f"The body has more than {self.perimeter.most_body} bytes"
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            self.unread = self.unread and not whole
            return message

        return within

    async def send(self, message: Message) -> None:
        """On to the client, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self.id
            if self.status in _ENDS_CONNECTION or (self.unread and self.status in _TURNED_AWAY):
                headers["connection"] = "close"
            for name, value in _ALWAYS.items():
                headers.setdefault(name, value)
            if headers.get("content-type", "").startswith(_DATA):
                for name, value in _UNLESS_SAID.items():
                    headers.setdefault(name, value)
        await self.out(message)

    def end(self) -> None:
        """Tell the log, the metrics, and where it was turned away, the audit."""
        seconds = clock.monotonic() - self.began
        if self.perimeter.watch is not None and self.scope["type"] == "http":
            self.perimeter.watch.answered(self.scope, self.status, seconds)
        state = self.scope["state"]
        caller = state.get("caller")
        told: JsonObject = {
            "method": self.scope.get("method", "WEBSOCKET"),
            "path": redact(self.scope["path"][:200]),
            "status": self.status,
            "address": self.address,
            "caller": getattr(caller, "name", None),
        }
        logger.info("answered", ms=round(seconds * 1000, 1), **told)
        if self.status in DENIED:
            code = state.get("refusal") or str(self.status)
            credential = getattr(caller, "credential", "") or None
            self.perimeter.denials.note(
                {**told, "code": code, "credential_id": credential, "request_id": self.id}
            )
