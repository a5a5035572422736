"""The server's application: REST for people and programs, made for an open factory."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI

from api import health, openapi, problems, v1
from api.service import Service


def create_app(service: Service) -> FastAPI:
    """The application of a service that is open already; it closes nothing."""
    app = FastAPI(
        title="Factory",
        version=version("factory-ai"),
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
    )
    app.state.service = service
    problems.install(app)
    openapi.install(app)
    app.include_router(health.router)
    app.include_router(v1.router)
    return app
