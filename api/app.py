"""The server's application: REST for people and programs, made for an open factory."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute
from starlette.types import Lifespan

from api import openapi, perimeter, problems, v1
from api.operations import health
from api.operations.metrics import Metrics
from api.operations.ready import Ready
from api.service import Service


def create_app(service: Service, *, host: str = "127.0.0.1") -> FastAPI:
    """The application of a service that is open already, served at `host`; it closes nothing."""
    metrics = Metrics(service)
    around = perimeter.of(service.factory.settings, service.factory.events, host, watch=metrics)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncGenerator[None]:
        metrics.learn(app)
        async with around.running(), metrics.running():
            yield

    app = routed(running)
    app.state.service, app.state.metrics, app.state.ready = service, metrics, Ready(service)
    problems.install(app)
    perimeter.install(app, around, service.factory.settings)
    return app


def routed(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """All operations, and the document that describes them, without a service behind them."""
    app = FastAPI(
        title="Factory",
        version=version("factory-ai"),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=openapi.operation_id,
    )
    openapi.install(app)
    app.router.routes.extend(_routes())
    return app


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """The routes of every application. FastAPI looks at their signatures once, when they are first used."""
    every = APIRouter(generate_unique_id_function=openapi.operation_id)
    every.include_router(health.router)
    every.include_router(v1.router)
    return tuple(every.routes)
