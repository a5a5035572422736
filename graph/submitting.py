"""What people ask for, recorded as runs: a requirement, a change of what there is, a run once more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypedDict

from core.errors import BadInput
from graph import changes, control, paying, purging, queries
from graph.dag import Pipeline
from graph.lifecycle import ENDED
from graph.requirement import checked_requirement, slug
from graph.services import Services
from graph.state import Change
from graph.turns import IfActive


class ProjectExists(BadInput):
    """The project has a repository already."""

    http_status = 409


class Terms(TypedDict, total=False):
    """On what terms a run is recorded: the same for a requirement and for a change."""

    approve_all: bool
    """Whether what a person would be asked is approved unasked."""
    budget_usd: Decimal | None
    """What it may spend on models."""
    widens: bool
    """Without it, a `budget_usd` is refused where the project's settings give a run less."""
    by: str
    """Who submits it."""
    mail: str
    """The file of the inbox that it answers."""
    if_active: IfActive | None
    """What becomes of the runs that are active in the project."""
    run_id: str | None
    """Under an id that was given it is recorded once, however often it is submitted."""


@dataclass(frozen=True, slots=True)
class Submitting:
    """Records runs. Nothing is created when the input is refused."""

    services: Services
    model: str | None
    """What its runs record as their model."""
    pipeline: Callable[[str], Pipeline]
    """The pipeline of a name; raises UnknownPipeline or PipelineInvalid."""

    async def submit(
        self,
        requirement: str,
        *,
        project: str | None,
        repo: Path | None,
        pipeline: str,
        again: bool,
        terms: Terms,
    ) -> str:
        """Record a run that builds from a requirement: see `Factory.submit`."""
        text = checked_requirement(requirement)
        self.pipeline(pipeline)
        if again and (known := await self._known(terms)):
            return known
        name = await self.free_project(text) if project is None else project
        await self._afford(name, terms)
        if repo is not None:
            self._require_new(name, repo)
        repository = await self.services.workspace.project(name, source=repo)
        return await self._record(text, name, repository.path, pipeline, terms)

    async def change(
        self, target: str, text: str, *, repo: Path | None, pipeline: str | None, terms: Terms
    ) -> str:
        """Record a run that changes what there is: see `Factory.change`."""
        text = checked_requirement(text, example='factory change RUN "Members have a phone number"')
        if known := await self._known(terms):
            return known
        services = self.services
        if repo is not None:
            self.pipeline(pipeline or "full")
            self._require_new(target, repo)
            await services.workspace.project(target, source=repo)
        found = await changes.find(services, target, imported=repo is not None)
        self.pipeline(pipeline or found.pipeline)
        await self._afford(found.project, terms)
        repository = (await services.project(found.project)).path
        return await self._record(
            text, found.project, repository, pipeline or found.pipeline, terms, found.change
        )

    async def retry(self, run_id: str, *, by: str, new_id: str | None) -> str:
        """Record a run that begins anew with what an ended one was given: see `Factory.retry`."""
        run = await self.services.run(run_id)
        if run.status not in ENDED:
            raise changes.RunUnfinished(
                f"Run {run.id} is {run.status}: it has not ended",
                untouched="Nothing was started",
                todo="Resume it, or cancel it first",
            )
        purging.require_whole(run, "Nothing was started")
        self.pipeline(run.pipeline)
        repository = (await self.services.project(run.project)).path
        terms = Terms(approve_all=run.approve_all, budget_usd=run.budget_usd, by=by, run_id=new_id)
        return await self._record(run.requirement, run.project, repository, run.pipeline, terms, run.change)

    async def free_project(self, requirement: str) -> str:
        """A name for a project that nobody has yet, from the first words of what it is for."""
        stem = slug(requirement)
        async with self.services.db.pool.connection() as conn:
            for number in range(1, 10_000):
                name = stem if number == 1 else f"{stem}-{number}"
                # A folder may be there of a database that is gone: its content is none of this run's.
                if not (await queries.project_exists(conn, name) or self.services.workspace.has(name)):
                    return name
        raise BadInput(f"There are too many projects called {stem}", todo="Give one a name with --project")

    async def _known(self, terms: Terms) -> str | None:
        """The id that was given, where a run is recorded under it already."""
        run_id = terms.get("run_id")
        return run_id if run_id is not None and await self.services.runs.known(run_id) else None

    async def _afford(self, project: str, terms: Terms) -> None:
        budget = terms.get("budget_usd")
        if budget is not None and not terms.get("widens", True):
            await paying.within(self.services, project, budget)

    def _require_new(self, project: str, repo: Path) -> None:
        if self.services.workspace.has(project):
            raise ProjectExists(
                f"The project {project!r} has a repository already, so that it cannot start from {repo}",
                untouched="Nothing was started, and neither repository was touched",
                todo="Leave out --repo to go on with the project, or choose another name for it",
            )

    async def _record(
        self,
        text: str,
        project: str,
        repository: Path,
        pipeline: str,
        terms: Terms,
        change: Change | None = None,
    ) -> str:
        if_active = terms.get("if_active")
        run_id = await self.services.runs.create(
            text,
            project=project,
            repository=repository,
            pipeline=pipeline,
            model=self.model,
            approve_all=terms.get("approve_all", False),
            change=change,
            budget_usd=terms.get("budget_usd"),
            by=terms.get("by", ""),
            mail=terms.get("mail", ""),
            if_active=if_active,
            run_id=terms.get("run_id"),
        )
        if if_active is not None:
            await control.settle_all(self.services, (await self.services.run(run_id)).after)
        return run_id
