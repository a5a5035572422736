"""A body is JSON, whatever its content type says: some of LangGraph's clients send it as plain text."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

_JSON = (b"content-type", b"application/json")


class JsonRoute(APIRoute):
    """A route that reads every body as JSON. No cookie opens it: a page elsewhere gains nothing by that."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI has it, with the content type put right."""
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            headers = [one for one in request.scope["headers"] if one[0] != b"content-type"]
            return await inner(Request({**request.scope, "headers": [*headers, _JSON]}, request.receive))

        return handler
