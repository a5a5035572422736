"""Every route of the application by every role and without a token: the table of roles is what counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from api.access import May, anybody, identify
from governance.roles import MEANINGS, PERMISSIONS, Permission, Role
from tests.api.conftest import OpenServed, Served

OPEN = {
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/ok"),
    ("GET", "/info"),
    # A WebSocket, which no plain request opens; tests/api/protocol has it refused without a token.
    ("GET", "/threads/{thread_id}/stream/events"),
    ("GET", "/openapi.json"),
    ("HEAD", "/openapi.json"),
    ("POST", "/api/v1/sessions"),
    ("POST", "/api/v1/sessions/refresh"),
}
"""What nobody needs a token for. A route that is added here is a decision."""
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Operation:
    """One method of one route."""

    method: str
    path: str
    needs: frozenset[Permission]
    """Empty: open, or for anybody who is signed in."""
    named: bool
    """Whether it says who may use it."""


def _dependencies(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from _dependencies(inner)


def operations(routes: list[BaseRoute]) -> list[Operation]:
    """All of an application. What is not a route of FastAPI's names no permission, and fails."""
    found: list[Operation] = []
    for route in iter_route_contexts(routes):
        dependant = getattr(route, "dependant", None)
        calls = [] if dependant is None else list(_dependencies(dependant))
        needs = frozenset(call.permission for call in calls if isinstance(call, May))
        methods = sorted(getattr(route, "methods", None) or {"GET"})
        for method in methods:
            named = bool(needs) or anybody in calls or identify in calls or (method, route.path) in OPEN
            found.append(Operation(method, str(route.path), needs, named))
    return found


def path_of(operation: Operation) -> str:
    """The path with something in each of its gaps."""
    parts = operation.path.split("/")
    return "/".join("nothing" if part.startswith("{") else part for part in parts)


async def bearers(served: Served) -> dict[Role, str]:
    """A program of each role, and its API token."""
    accounts = served.service.access
    made: dict[Role, str] = {}
    for role in ROLES:
        user = await accounts.users.add(f"the-{role}", role, password=None, by="owner")
        made[role] = (await accounts.tokens.issue(user, "test", by="owner"))[1]
    return made


def test_every_permission_has_a_meaning_and_a_role() -> None:
    assert set(MEANINGS) == set(get_args(Permission))
    assert set(PERMISSIONS) == set(ROLES)
    assert set().union(*PERMISSIONS.values()) == set(MEANINGS)
    assert PERMISSIONS["director"] == set(MEANINGS)
    assert [role for role in ROLES if "purge" in PERMISSIONS[role]] == ["director"]
    assert not PERMISSIONS["hr"] & {"read", "submit", "answer", "approve", "audit"}


async def test_every_route_names_who_may_use_it_and_refuses_all_others(open_served: OpenServed) -> None:
    async with open_served(protocol=True) as served:
        app = served.app
        every = operations(app.routes)
        assert [f"{each.method} {each.path}" for each in every if not each.named] == []
        tokens = await bearers(served)
        async with httpx.AsyncClient(base_url=served.url, timeout=60) as http:
            for each in every:
                is_open = (each.method, each.path) in OPEN
                answer = await _tried(http, each, None)
                assert (answer == 401) is not is_open, f"{each.method} {each.path} without a token: {answer}"
                for role in ROLES:
                    answer = await _tried(http, each, tokens[role])
                    allowed = each.needs <= PERMISSIONS[role]
                    said = f"{each.method} {each.path} as {role}: {answer}"
                    assert answer != 401, said
                    assert answer < 500, said
                    assert allowed or answer == 403, said


async def _tried(http: httpx.AsyncClient, operation: Operation, token: str | None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with http.stream(operation.method, path_of(operation), headers=headers) as answer:
        return answer.status_code


@pytest.mark.parametrize("means", ["token", "session"])
async def test_a_sign_in_and_a_token_open_the_same_as_their_role(open_served: OpenServed, means: str) -> None:
    async with open_served() as served:
        accounts = served.service.access
        user = await accounts.users.add("ada", "auditor", password="a lamp beside the river", by="owner")
        if means == "token":
            token = (await accounts.tokens.issue(user, "test", by="owner"))[1]
        else:
            given = {"name": "ada", "password": "a lamp beside the river"}
            signed = await served.http.post("/api/v1/sessions", json=given)
            assert signed.headers["cache-control"] == "no-store"
            token = signed.json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        myself = (await served.http.get("/api/v1/sessions/current", headers=headers)).json()
        assert (myself["name"], myself["role"], myself["means"]) == ("ada", "auditor", means)
        refused = await served.http.post("/api/v1/runs", json={"requirement": "x"}, headers=headers)
        assert refused.status_code == 403
        assert refused.json()["type"] == "urn:factory:not-permitted"
