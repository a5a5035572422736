"""`/api/v1/models` and `/accounts`: who answers, and why one is chosen. Never a key."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from api.access import Caller, ReaderWithin, may
from api.once import Once, OnceRoute
from api.paging import After, Limit, Listing, Page
from api.service import Serving
from api.v1.wanted import Name, Wanted
from core.redaction import redact
from models import canary, told
from models.told import AccountShown, Explained, ModelsShown
from workspace import project_settings
from workspace.projects import is_project_name

router = APIRouter(tags=["models"], route_class=OnceRoute)


class AccountPage(Page[AccountShown]):
    """Accounts with their models, in order."""


class CheckWanted(Wanted):
    """Whom to ask."""

    account: Annotated[Name | None, Field(description="This account only; all where none is given.")] = None


class CheckedShown(BaseModel):
    """What came of one question."""

    model_config = ConfigDict(frozen=True)

    account: str
    model: str
    ok: bool
    detail: str
    seconds: float


class Checks(BaseModel):
    """Who answers."""

    model_config = ConfigDict(frozen=True)

    ok: bool
    checked: list[CheckedShown]


@router.get("/models")
async def list_(service: Serving, _: ReaderWithin) -> ModelsShown:
    """The aliases, the pools and their accounts."""
    return told.listed(service.factory.services.models)


@router.get("/models/why")
async def why(
    service: Serving,
    caller: ReaderWithin,
    name: Annotated[Name, Query(description="An alias, or a team's id.", examples=["factory/coder"])],
    project: Annotated[Name | None, Query(description="As this project sees it.")] = None,
) -> Explained:
    """Who is chosen for an alias or a team, who is not, and why."""
    factory = service.factory
    caller.require_project(project)
    team = factory.registry.team(name) if name in factory.registry.ids else None
    local_only = False
    if project is not None and is_project_name(project):
        local_only = (await project_settings.operators(factory.settings.home, project)).models.local_only
    team_id = team.id if team else None
    view = factory.services.models.view(project=project, team=team_id, local_only=local_only)
    return told.explained(view, team.author.alias if team else name, project=project, team=team_id)


@router.post("/models/check")
async def check(
    wanted: CheckWanted, service: Serving, _: Annotated[Caller, Depends(may("configure"))], once: Once
) -> Checks:
    """Ask every account one tiny question. It costs a few tokens each."""
    models = service.factory.services.models
    checked = await canary.check(models, wanted.account)
    checked += [
        canary.Checked(name, "", False, why, 0.0)
        for name, why in models.chains.fleet.unusable.items()
        if wanted.account in (None, name)
    ]
    found = [CheckedShown(**asdict(replace(one, detail=redact(one.detail)))) for one in checked]
    return Checks(ok=bool(found) and all(one.ok for one in found), checked=found)


@router.get("/accounts")
async def accounts(service: Serving, _: ReaderWithin, limit: Limit = 50, after: After = None) -> AccountPage:
    """The accounts with their models, prices and capabilities; never a key."""
    listing = Listing("accounts", {}, (str, str))
    place = listing.read(after)
    every = sorted(told.accounts(service.factory.services.models), key=lambda one: (one.account, one.model))
    found = [one for one in every if place is None or (one.account, one.model) > place]
    shown, next_ = listing.page(found[: limit + 1], limit, lambda one: (one.account, one.model))
    return AccountPage(items=shown, next=next_)
