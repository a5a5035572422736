"""Who is calling, and whether they may: every route names its permission."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from core.errors import FactoryError
from governance.roles import Permission, Role, require


class NotSignedIn(FactoryError):
    """The token is missing or wrong."""

    http_status = 401

    def http_headers(self) -> dict[str, str]:
        """What RFC 9110 asks of a 401."""
        return {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request."""

    name: str
    """What is recorded as `by`."""
    role: Role


@dataclass(frozen=True)
class Access:
    """Knows the token that was printed when the server started."""

    token: str
    owner: str

    def caller(self, given: str) -> Caller:
        """Whose token it is; raises NotSignedIn."""
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise NotSignedIn(todo="Use the token that was printed when the server started")
        return Caller(self.owner, "director")


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    # LangGraph's clients send their key in a header of their own.
    return token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")


def may(permission: Permission) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency that gives the caller; raises NotSignedIn, NotPermitted."""

    async def checked(request: Request) -> Caller:
        caller = request.app.state.service.access.caller(_bearer(request))
        require(caller.role, permission)
        return caller

    return checked


Reader = Annotated[Caller, Depends(may("read"))]
Submitter = Annotated[Caller, Depends(may("submit"))]
Answerer = Annotated[Caller, Depends(may("answer"))]
Approver = Annotated[Caller, Depends(may("approve"))]
