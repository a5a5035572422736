"""A body is JSON, whatever its content type says: some of LangGraph's clients send it as plain text."""

from __future__ import annotations

from fastapi import Request, Response

from api.door import DoorRoute, Handler

_JSON = (b"content-type", b"application/json")


class JsonRoute(DoorRoute):
    """A route that reads every body as JSON. No cookie opens it: a page elsewhere gains nothing by that."""

    def answering(self) -> Handler:
        """As FastAPI has it, with the content type put right."""
        inner = super().answering()

        async def handler(request: Request) -> Response:
            headers = [one for one in request.scope["headers"] if one[0] != b"content-type"]
            return await inner(Request({**request.scope, "headers": [*headers, _JSON]}, request.receive))

        return handler
