"""`/api/v1/projects/{project}/mental-models`: the short page of what each team has learned."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from api.access import Answerer, Reader
from api.etags import Tags
from api.once import OnceRoute
from api.service import Service, Serving
from api.v1.memory import House, anybodys
from api.v1.wanted import ProjectName, TeamName, Wanted
from core.errors import NotFound
from memory.mental_models import page as pages
from memory.mental_models.service import MentalModels

router = APIRouter(tags=["memory"], route_class=OnceRoute)


class LineShown(BaseModel):
    """A line of a mental model."""

    model_config = ConfigDict(frozen=True)

    text: str
    by: str
    memories: list[int]
    forgotten: bool


class PageShown(BaseModel):
    """A team's mental model: the short page of what it has learned."""

    model_config = ConfigDict(frozen=True)

    project: str
    team: str
    version: int
    """0 where there is none yet."""
    at: datetime | None
    by: str
    way: str
    withheld: int
    lines: list[LineShown]


class PageList(BaseModel):
    """Mental models, or versions of one."""

    model_config = ConfigDict(frozen=True)

    pages: list[PageShown]


class PageWanted(Wanted):
    """A page that a person wrote."""

    text: Annotated[str, Field(max_length=20_000, description="A line for each thing, `- ` before it.")]
    based_on: Annotated[
        int | None, Field(ge=0, le=1 << 30, description="The version that it began from.")
    ] = None


class PageDiff(BaseModel):
    """What a version changed."""

    model_config = ConfigDict(frozen=True)

    before: int
    after: int
    diff: list[str]


@router.get("/projects/{project}/mental-models")
async def models(service: Serving, _: Reader, project: ProjectName) -> PageList:
    """The newest page of each team of a project."""
    async with anybodys(service) as memories:
        found = await MentalModels(memories).all(project) if project.isprintable() else []
    if not found:
        House(service).has_project(project)
    return PageList(pages=[_page(one) for one in found])


@router.get("/projects/{project}/mental-models/{team}")
async def model(
    service: Serving,
    _: Reader,
    project: ProjectName,
    team: TeamName,
    tags: Tags,
    version: Annotated[int | None, Query(ge=1, le=1 << 30, description="An old one.")] = None,
) -> PageShown:
    """A team's page as it is now, or one of its versions."""
    _known(service, project, team)
    async with anybodys(service) as memories:
        shown = _page(await MentalModels(memories).page(project, team, version))
    tags.show(shown)
    return shown


@router.get("/projects/{project}/mental-models/{team}/versions")
async def versions(service: Serving, _: Reader, project: ProjectName, team: TeamName) -> PageList:
    """All versions of a team's page, the oldest first."""
    _known(service, project, team)
    async with anybodys(service) as memories:
        return PageList(pages=[_page(one) for one in await MentalModels(memories).versions(project, team)])


@router.get("/projects/{project}/mental-models/{team}/versions/{version}/diff")
async def diff(
    service: Serving,
    _: Reader,
    project: ProjectName,
    team: TeamName,
    version: Annotated[int, Path(ge=1, le=1 << 30)],
) -> PageDiff:
    """What a version changed."""
    _known(service, project, team)
    async with anybodys(service) as memories:
        found = await MentalModels(memories).versions(project, team)
    if version > len(found):
        raise NotFound(f"There is no version {version}", todo=f"The page has {len(found)} versions")
    old = found[version - 2] if version > 1 else pages.Page(project, team)
    return PageDiff(before=version - 1, after=version, diff=pages.difference(old, found[version - 1]))


@router.put("/projects/{project}/mental-models/{team}")
async def edit(
    wanted: PageWanted, service: Serving, caller: Answerer, project: ProjectName, team: TeamName, tags: Tags
) -> PageShown:
    """Put a person's page in the place of the newest; no refresh takes their lines away."""
    _known(service, project, team)
    async with anybodys(service) as memories:
        mental = MentalModels(memories)
        current = await mental.page(project, team)
        tags.require(_page(current))
        # What is looked at and what is replaced are one version: an edit between the two is a 412.
        base = current.version if wanted.based_on is None else wanted.based_on
        shown = _page(await mental.edit(project, team, wanted.text, based_on=base, by=caller.name))
    tags.show(shown)
    return shown


def _known(service: Service, project: str, team: str) -> None:
    House(service).has_project(project)
    House(service).is_team(team)


def _page(page: pages.Page) -> PageShown:
    return PageShown(
        project=page.project,
        team=page.team,
        version=page.version,
        at=page.at,
        by=page.by,
        way=page.way,
        withheld=page.withheld,
        lines=[
            LineShown(text=line.text, by=line.by, memories=list(line.sources), forgotten=line.forgotten)
            for line in page.lines
        ],
    )
