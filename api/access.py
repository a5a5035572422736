"""Who is calling, and whether they may: every route names its permission."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request

from core.errors import NotFound
from governance.access import Accounts, NotSignedIn
from governance.access.principal import Principal
from governance.roles import NotPermitted, Permission

if TYPE_CHECKING:
    from api.service import Service

__all__ = [
    "Accounts",
    "Answerer",
    "Approver",
    "Caller",
    "May",
    "NotPermitted",
    "NotSignedIn",
    "Reader",
    "Submitter",
    "anybody",
    "identify",
    "may",
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
            caller.require_project(await _project(request))
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


def _service(request: Request) -> Service:
    return cast("Service", request.app.state.service)


async def _project(request: Request) -> str | None:
    """The project that the path leads to; None where it leads to none, or to nothing."""
    given, factory = request.path_params, _service(request).factory
    if "project" in given:
        return str(given["project"])
    try:
        run_id = given.get("run_id")
        if run_id is None and "approval_id" in given:
            run_id = (await factory.approvals.get(str(given["approval_id"]))).run_id
        return None if run_id is None else (await factory.services.run(str(run_id))).project
    except NotFound:
        return None
