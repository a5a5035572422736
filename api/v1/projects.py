"""`/api/v1/projects`: products, their settings, and what their runs left."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Request, Response, status
from pydantic import BaseModel, ConfigDict, Field

from api.access import Configurer, Controller, Reader, ReaderWithin, Submitter, SubmitterWithin
from api.door import DoorRoute
from api.etags import Tags
from api.once import Once, OnceRoute
from api.paging import After, Limit, Listing, Page
from api.service import Service, Serving
from api.v1.wanted import Name, ProjectName, Wanted
from core.errors import BadInput, NotFound
from graph import cleaning, projects
from graph.projects import Project
from graph.submitting import ProjectExists
from models.spending import caps
from workspace import settings_writing
from workspace.deadlines import Deadlines
from workspace.errors import ProjectNameInvalid
from workspace.leases import Lease
from workspace.project_settings import (
    BudgetSettings,
    MemorySettings,
    ModelsAllowed,
    ProjectSettings,
    load_operators,
)
from workspace.projects import is_project_name

router = APIRouter(prefix="/projects", tags=["projects"], route_class=OnceRoute)
uploads = APIRouter(prefix="/projects", tags=["projects"], route_class=DoorRoute)
"""Routes with bodies that are not kept in memory."""

MOST_UPLOADED: Final = 256_000_000
"""Bytes of an uploaded bundle."""


_NAMED: Final = (ProjectNameInvalid.__doc__ or "").strip()


class BundleTooLarge(BadInput):
    """The bundle is larger than may be uploaded."""

    http_status = 413


class ProjectListed(BaseModel):
    """A project and its runs."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    name: str
    created_at: datetime
    runs: int
    live: int
    """Runs that have not ended."""
    last_run: str | None
    """The newest run."""


class ProjectPage(Page[ProjectListed]):
    """Projects by name."""


class LeaseShown(BaseModel):
    """A stage that is at work in the project now."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    run_id: str
    stage: str
    team: str
    paths: tuple[str, ...]
    files: tuple[str, ...]
    expires_at: datetime | None


class ProjectShown(ProjectListed):
    """A project, all that is set for it, and who works in it."""

    settings: ProjectSettings
    """As it counts: the operator's file over the repository's own."""
    left_out: list[str]
    """What the repository's own file sets, and only the operator may."""
    leases: list[LeaseShown]


class ProjectWanted(Wanted):
    """A project to be."""

    name: Annotated[Name, Field(description="1 to 63 of a-z, 0-9 and `-`.", examples=["library"])]


class SettingsShown(BaseModel):
    """What may be set through the API. Where code and tokens go, only the operator's file says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")] = ""
    models: ModelsAllowed = ModelsAllowed()
    budget: BudgetSettings = BudgetSettings()
    deadlines: Deadlines = Deadlines()
    memory: MemorySettings = MemorySettings()


class CleanWanted(Wanted):
    """What to remove."""

    run: Annotated[Name | None, Field(description="Only what this run left: its id.")] = None
    dry_run: Annotated[bool, Field(description="Say what would go; remove nothing.")] = False


class LeftoverShown(BaseModel):
    """The worktrees that failed stages of a run left."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    status: str
    stages: tuple[str, ...]
    removed: bool
    why: str
    """Why they were left."""


class Cleaned(BaseModel):
    """What was removed, or would be."""

    model_config = ConfigDict(frozen=True)

    project: str
    dry_run: bool
    worktrees: list[LeftoverShown]


@router.get("")
async def list_(
    service: Serving, caller: ReaderWithin, limit: Limit = 50, after: After = None
) -> ProjectPage:
    """The projects by name."""
    bound = caller.scopes.projects
    names = None if bound is None else sorted(bound)
    listing = Listing("projects", {"n": names}, (str,))
    place = listing.read(after)
    found = await projects.listed(
        service.factory.db, after=place[0] if place else None, limit=limit + 1, names=names
    )
    shown, next_ = listing.page(found, limit, lambda one: (one.name,))
    return ProjectPage(items=[ProjectListed.model_validate(one) for one in shown], next=next_)


@router.post("", status_code=status.HTTP_201_CREATED)
async def create(
    wanted: ProjectWanted, service: Serving, caller: SubmitterWithin, once: Once, response: Response
) -> ProjectListed:
    """Make an empty project. A run makes its own where it names none that is there."""
    caller.require_project(wanted.name)
    if not once.again:
        await _require_free(service, wanted.name)
    return _made(await projects.create(service.factory.services, wanted.name), response)


@uploads.put("/{project}/import", status_code=status.HTTP_201_CREATED, openapi_extra={
    "requestBody": {
        "required": True,
        "description": "A git bundle that holds HEAD, as `git bundle create FILE HEAD` makes it.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
})  # fmt: skip
async def import_(
    service: Serving, _: Submitter, project: ProjectName, request: Request, response: Response
) -> ProjectListed:
    """Make a project with the history of a git bundle; nothing of the bundle's configuration is used."""
    await _require_free(service, project)
    with tempfile.TemporaryDirectory(prefix="factory-import-") as folder:
        bundle = Path(folder) / "source.bundle"
        await _received(request.stream(), bundle)
        return _made(await projects.create(service.factory.services, project, source=bundle), response)


@router.get("/{project}")
async def show(service: Serving, _: Reader, project: ProjectName, tags: Tags) -> ProjectShown:
    """A project: its settings, and who works in it now."""
    found = await projects.get(service.factory.db, project)
    services = service.factory.services
    loaded = await projects.settings(services.settings.home, services.workspace, project)
    leases: list[Lease] = await services.leases.live(project)
    shown = ProjectShown(
        **asdict(found),
        settings=loaded.settings,
        left_out=list(loaded.left_out),
        leases=[LeaseShown.model_validate(lease) for lease in leases],
    )
    tags.show(shown)
    return shown


@router.get("/{project}/settings")
async def settings(service: Serving, _: Reader, project: ProjectName, tags: Tags) -> SettingsShown:
    """What may be set through the API, as the operator's file has it."""
    await projects.get(service.factory.db, project)
    told = await _settings(service, project)
    tags.show(told)
    return told


@router.put("/{project}/settings")
async def set_(
    wanted: SettingsShown, service: Serving, _: Configurer, project: ProjectName, tags: Tags
) -> SettingsShown:
    """Put these settings in the place of those in the operator's file; what else it says stays."""
    factory = service.factory
    await projects.get(factory.db, project)
    home = factory.settings.home
    if unknown := sorted(set(wanted.budget.teams) - set(factory.registry.ids)):
        raise NotFound(f"There is no team {', '.join(unknown)[:200]!a}", untouched="Nothing was changed")
    async with settings_writing.changing(home, project):
        tags.require(await _settings(service, project))
        told = _shown(await settings_writing.write(home, project, wanted.model_dump()))
    agreed: dict[tuple[caps.Scope, str], Decimal | None] = {("project", project): told.budget.project}
    for team in factory.registry.ids:
        agreed["team", f"{project}/{team}"] = told.budget.teams.get(team)
    await caps.agree_all(factory.db, agreed)
    tags.show(told)
    return told


@router.post("/{project}/clean")
async def clean(
    wanted: CleanWanted, service: Serving, _: Controller, project: ProjectName, once: Once
) -> Cleaned:
    """Remove the worktrees that failed stages of ended runs left. What was not merged is in them only."""
    factory = service.factory
    await projects.get(factory.db, project)
    only = None
    if wanted.run is not None:
        run = await factory.services.runs.named(wanted.run)
        if run.project != project:
            raise NotFound(f"Run {run.id} is not one of {project}", untouched="Nothing was removed")
        only = run.id
    repository = await factory.services.project(project)
    found = await cleaning.clean(factory.db, factory.services.runs, repository, only=only, dry=wanted.dry_run)
    return Cleaned(
        project=project,
        dry_run=wanted.dry_run,
        worktrees=[LeftoverShown(**asdict(each)) for each in found],
    )


async def _require_free(service: Service, name: str) -> None:
    workspace = service.factory.services.workspace
    if not is_project_name(name):
        raise ProjectNameInvalid(
            f"{name[:80]!a} is no project name", untouched="No project was made", todo=_NAMED
        )
    if workspace.has(name) or await service.factory.services.runs.knows_project(name):
        raise ProjectExists(
            f"There is a project {name!r} already",
            untouched="It was not touched",
            todo="Choose another name, or go on with that project",
        )


async def _received(stream: AsyncIterator[bytes], bundle: Path) -> None:
    size = 0
    with await asyncio.to_thread(bundle.open, "wb") as file:
        async for chunk in stream:
            size += len(chunk)
            if size > MOST_UPLOADED:
                raise BundleTooLarge(
                    f"The bundle has more than {MOST_UPLOADED:,} bytes",
                    untouched="No project was made",
                    todo="Import it on the server: factory change NAME … --repo PATH",
                )
            await asyncio.to_thread(file.write, chunk)


def _made(project: Project, response: Response) -> ProjectListed:
    response.headers["Location"] = f"/api/v1/projects/{project.name}"
    return ProjectListed.model_validate(project)


async def _settings(service: Service, project: str) -> SettingsShown:
    return _shown(await asyncio.to_thread(load_operators, service.factory.settings.home, project))


def _shown(told: ProjectSettings) -> SettingsShown:
    return SettingsShown(
        description=told.description,
        models=told.models,
        budget=told.budget,
        deadlines=told.deadlines,
        memory=told.memory,
    )
