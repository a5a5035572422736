"""`/api/v1/teams`: who works here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from api.access import Caller, may
from api.door import DoorRoute
from api.etags import Tags
from api.service import Serving
from api.v1.wanted import TeamName
from graph.roster import in_order
from teams.team import Team, TeamFacts

RosterReader = Annotated[Caller, Depends(may("roster", within=True))]
"""The teams are those of all projects."""

router = APIRouter(prefix="/teams", tags=["teams"], route_class=DoorRoute)


class TeamShown(TeamFacts):
    """A team, without its texts."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)


class TeamList(BaseModel):
    """All teams of the pack."""

    model_config = ConfigDict(frozen=True)

    pack: str
    teams: list[TeamShown]


@router.get("")
async def list_(service: Serving, _: RosterReader) -> TeamList:
    """The teams, in the order of the full pipeline."""
    registry = service.factory.registry
    return TeamList(pack=registry.pack, teams=[TeamShown.model_validate(team) for team in in_order(registry)])


@router.get("/{team}")
async def show(team: TeamName, service: Serving, _: RosterReader, tags: Tags) -> Team:
    """One team, with its operatives and its texts."""
    found = service.factory.registry.team(team)
    tags.show(found)
    return found
