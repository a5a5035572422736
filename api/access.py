"""Who is calling, and whether they may: every route names its permission."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request
from psycopg import OperationalError

from api.found import project_of
from core.database import DatabaseUnavailable
from governance.access import Accounts, NotSignedIn
from governance.access.principal import Principal
from governance.roles import NotPermitted, Permission

if TYPE_CHECKING:
    from api.perimeter import Perimeter
    from api.service import Service

__all__ = [
    "Accounts",
    "Admission",
    "Admitted",
    "Answerer",
    "Approver",
    "Auditor",
    "Caller",
    "Configurer",
    "Controller",
    "May",
    "NotPermitted",
    "NotSignedIn",
    "Reader",
    "ReaderWithin",
    "Submitter",
    "SubmitterWithin",
    "anybody",
    "identify",
    "may",
    "narrowed",
    "perimeter_of",
]

Caller = Principal


def bearer(request: Request) -> str:
    """What the request shows at the door; empty where it shows nothing."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    # LangGraph's clients send their key in a header of their own.
    return token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")


async def identify(request: Request) -> Caller:
    """Whose request it is; looked up once for a request. Raises NotSignedIn."""
    known = getattr(request.state, "caller", None)
    if known is None:
        known = await _service(request).access.verify(bearer(request))
        request.state.caller = known
        if known.means != "printed":  # that one is of the person whose machine it is
            perimeter_of(request).limits.of_caller(known.credential or known.name)
    return known


@dataclass(frozen=True, slots=True)
class May:
    """A dependency that gives the caller, where both role and token allow it.

    A token that is bound to projects opens what lies below a run or a project in the path, and nothing else,
    unless the route says that it looks `within` itself: by `caller.require_project(…)`, or by listing only
    what is in `caller.scopes.projects`.
    """

    permission: Permission
    within: bool = False

    async def __call__(self, request: Request) -> Caller:
        caller = await identify(request)
        caller.require(self.permission)
        if caller.scopes.projects is not None and not self.within:
            caller.require_project(await project_of(request))
        return caller


def may(permission: Permission, *, within: bool = False) -> May:
    """A dependency that gives the caller; raises NotSignedIn, NotPermitted."""
    return May(permission, within)


async def anybody() -> None:
    """A dependency that says: this route is open to everybody, on purpose."""


Reader = Annotated[Caller, Depends(may("read"))]
Submitter = Annotated[Caller, Depends(may("submit"))]
Answerer = Annotated[Caller, Depends(may("answer"))]
Approver = Annotated[Caller, Depends(may("approve"))]
Controller = Annotated[Caller, Depends(may("control"))]
Configurer = Annotated[Caller, Depends(may("configure"))]
Auditor = Annotated[Caller, Depends(may("audit"))]
ReaderWithin = Annotated[Caller, Depends(may("read", within=True))]
"""For a route that looks itself which projects the caller's token is bound to."""
SubmitterWithin = Annotated[Caller, Depends(may("submit", within=True))]


def narrowed(caller: Caller, project: str | None) -> list[str] | None:
    """The projects that a list is about: the one that was asked for, or those of the caller's token; None is
    all of them. Raises NotPermitted."""
    if project is not None:
        caller.require_project(project)
        return [project]
    bound = caller.scopes.projects
    return None if bound is None else sorted(bound)


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether who opened a stream would still be let in as they were: a stream outlives many a token."""

    access: Accounts
    token: str
    caller: Caller

    async def stands(self) -> bool:
        """Whether they would be."""
        try:
            now = await self.access.verify(self.token)
        except NotSignedIn:
            return False
        except (DatabaseUnavailable, OperationalError):
            return True  # nobody can say; nothing is sent meanwhile either
        return now.role == self.caller.role and now.scopes == self.caller.scopes


async def _admission(request: Request) -> Admission:
    return Admission(_service(request).access, bearer(request), await identify(request))


Admitted = Annotated[Admission, Depends(_admission)]
"""For a route that streams, beside the parameter that says who may."""


def perimeter_of(request: Request) -> Perimeter:
    """What this server knows about those who speak to it."""
    return cast("Perimeter", request.state.perimeter)


def _service(request: Request) -> Service:
    return cast("Service", request.app.state.service)
