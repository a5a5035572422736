"""Connections that are slow on purpose: a request's head must arrive in time, and be of a sane size.

uvicorn closes idle connections, but waits without end for a head of which a first byte has come.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
import uvicorn

from api.connections import Connection

HEAD_SECONDS: Final = 15.0
"""For which a request's first line and headers may take to arrive."""
LARGEST_HEAD: Final = 32_768
"""Bytes of them."""
MOST_CONNECTIONS: Final = 2_000
"""At once, event streams among them. Beyond, a client is told 503."""
IDLE_SECONDS: Final = 30
"""For which a connection is kept open for another request."""


class PatientConnection(Connection):
    """HTTP/1.1 that waits for a head only so long."""

    head_seconds: float = HEAD_SECONDS
    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_watching()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        # IDLE is the state of a client that has not said a whole head yet.
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._stop_watching()
        elif self._head is None:
            self._head = self.loop.call_later(self.head_seconds, self._too_slow)

    def _stop_watching(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _too_slow(self) -> None:
        self._head = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()


def configured(app: Any, *, grace: int, proxies: list[str]) -> uvicorn.Config:
    """How the application is served."""
    return uvicorn.Config(
        app,
        http=PatientConnection,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=grace,
        timeout_keep_alive=IDLE_SECONDS,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=LARGEST_HEAD,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
    )
