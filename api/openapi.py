"""The document that describes the service: what FastAPI finds, and what holds for all operations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api.problems import MEDIA_TYPE, Problem

PREFIX: Final = "/api/v1"
_METHODS: Final = frozenset({"get", "put", "post", "patch", "delete", "head"})
_WRITES: Final = frozenset({"put", "post", "patch", "delete"})

EXAMPLES: Final[dict[str, Any]] = json.loads(
    Path(__file__).with_name("examples.json").read_text(encoding="utf-8")
)
"""Answers, by the name of their schema."""

TAGS: Final[dict[str, str]] = {
    "projects": "Products, each with its own repository.",
    "runs": "Passages of a requirement through a pipeline: give work, follow it, move it along.",
    "events": "What happened, from the append-only log.",
    "artifacts": "Files that a run made.",
    "approvals": "What waits for a person.",
    "clarifications": "What teams ask each other.",
    "teams": "Who works here.",
    "memory": "What the teams of a project remember, and why.",
    "models": "Who answers: aliases, pools, accounts.",
    "schedules": "What projects are given again and again.",
    "costs": "What was spent on models, and the budgets.",
    "audit": "The proof of what happened.",
    "access": "Who comes in, and with what.",
    "operations": "Whether the service works.",
}

_PROBLEMS: Final[dict[int, str]] = {
    400: "The body is no JSON.",
    401: "The token is missing or wrong.",
    403: "The role, or the token, may not do that.",
    404: "There is nothing by that name or id.",
    409: "As things stand it cannot be done: somebody was quicker, or it is over.",
    412: "It was changed since it was read.",
    413: "The body is too large.",
    408: "The body did not arrive in time.",
    421: "The request is for another host.",
    416: "There is no such range.",
    422: "What was given cannot be used; nothing was done.",
    429: "Too many requests; Retry-After says when to come again.",
    500: "The service failed.",
    502: "What the service asked elsewhere (a forge, a model) failed.",
    503: "The database or a model cannot be reached now.",
    507: "The disk is full.",
}


def operation_id(route: APIRoute) -> str:
    """What an operation is called in generated clients: `runs_submit`."""
    name = route.name.strip("_")
    return f"{str(route.tags[0]).replace('-', '_')}_{name}" if route.tags else name


def install(app: FastAPI) -> None:
    """Let `app` describe itself fully at /openapi.json."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = described(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the application."""
    told = get_openapi(
        title=app.title,
        version=app.version,
        summary="A software factory: a requirement goes in, tested software in a git repository comes out.",
        routes=app.routes,
        tags=[{"name": name, "description": about} for name, about in TAGS.items()],
    )
    components = told.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A token of the service."},
        "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "The same token."},
    }
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    for path, method, operation in _operations(told):
        if path.startswith(PREFIX):
            operation.setdefault("security", [{"bearer": []}, {"key": []}])
            _document(path, method, operation)
    return told


def _operations(told: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in told.get("paths", {}).items():
        for method, operation in methods.items():
            if method in _METHODS:
                yield path, method, operation


def _document(path: str, method: str, operation: dict[str, Any]) -> None:
    """Say which problems an operation may answer with."""
    headers = {each["name"].lower() for each in operation.get("parameters", ()) if each["in"] == "header"}
    statuses = {401, 403, 421, 422, 429, 500, 503}
    if "{" in path or _names_a_run(operation):
        statuses |= {404}
    if method in _WRITES:
        statuses |= {400, 404, 408, 409, 413, 502, 507}
    if "if-match" in headers and method in _WRITES:
        statuses |= {412}
    else:
        _without(operation, "if-match")
    if method in _WRITES:
        _without(operation, "if-none-match")
    responses = operation.setdefault("responses", {})
    statuses |= {status for status in _PROBLEMS if str(status) in responses}
    if "if-none-match" in headers and method == "get":
        responses["304"] = {"description": "The copy that the client has is the thing as it is."}
    for status in sorted(statuses):
        given = responses.get(str(status), {})
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        description = given.get("description", "")
        told = _PROBLEMS[status] if description in ("", "Validation Error") else description
        responses[str(status)] = {"description": told, "content": content}
    operation["description"] = re.sub(r"\s*\n\s*", " ", operation.get("description", "")).strip()


def _names_a_run(operation: dict[str, Any]) -> bool:
    """Whether a parameter of it is a run; several are a filter, and there need be none of them."""
    named = [each["schema"] for each in operation.get("parameters", ()) if each["name"] == "run"]
    return any("array" not in {kind.get("type") for kind in each.get("anyOf", [each])} for each in named)


def _without(operation: dict[str, Any], header: str) -> None:
    """Leave out a header that this method does not read."""
    kept = [each for each in operation.get("parameters", ()) if each["name"].lower() != header]
    if "parameters" in operation:
        operation["parameters"] = kept
