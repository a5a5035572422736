"""What stands between the network and the routes: who may speak to this server, how fast, and how much."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api.perimeter.addresses import Names
from api.perimeter.denials import Denials
from api.perimeter.gate import REQUEST_ID, Gate, Perimeter, Watch
from api.perimeter.limits import Limits
from core.events import EventLog
from core.settings import Settings

__all__ = ["Perimeter", "install", "of"]

_EXPOSED = ("etag", "location", "retry-after", "content-location", "link", REQUEST_ID)


def of(settings: Settings, events: EventLog, host: str, watch: Watch | None = None) -> Perimeter:
    """The perimeter of a server that listens at `host`."""
    return Perimeter(
        Names.of(host, settings.hosts, settings.cors_origins),
        Limits(settings.rate_limit),
        Denials(events),
        watch,
        most_body=settings.max_body,
    )


def install(app: FastAPI, perimeter: Perimeter, settings: Settings) -> None:
    """Put it around an application, as the outermost layer: call this last."""
    app.state.perimeter = perimeter
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=_EXPOSED,
            max_age=600,
        )
    app.add_middleware(Gate, perimeter=perimeter)
