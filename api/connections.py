"""A connection of the HTTP server, as a stream needs it: it can be cut, and it says when the server ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, Final, cast

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

EXTENSION: Final = "factory.connection"
"""Where a request's scope has its connection, among the extensions."""
_UNANSWERED: Final = 30_000
"""Milliseconds that a client may leave what it is sent unacknowledged: then it is gone, or never reads."""


class Connection(H11Protocol):
    """What uvicorn does, and the two things that its ASGI interface has no words for."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.ending = asyncio.Event()
        """The server is about to end: what streams should come to an end now."""
        inner = self.app

        async def told(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[EXTENSION] = self
            await inner(scope, receive, send)

        self.app = cast(Any, told)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let the kernel end it where nobody is at the other end any more."""
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        if peer is not None and hasattr(socket, "TCP_USER_TIMEOUT") and peer.family != socket.AF_UNIX:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED)

    def shutdown(self) -> None:
        """Begin to end, as the server does."""
        self.ending.set()
        super().shutdown()

    def abort(self) -> None:
        """Close at once; what was not sent is dropped."""
        self.transport.abort()


def of(scope: Mapping[str, Any]) -> Connection | None:
    """The connection that a request came by; None under another server."""
    return scope.get("extensions", {}).get(EXTENSION)
