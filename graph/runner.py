"""The factory as a program uses it: open it, submit a requirement, drive the run, answer its questions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from langgraph.checkpoint.base import BaseCheckpointSaver

from core.database import Database
from core.errors import BadInput
from core.events import Event, EventLog
from core.hub import Hub
from core.incarnation import Pool
from core.settings import Settings
from governance import policy
from governance.approvals import Approval, Approvals, Decision
from graph import changes, control, dag, paying, purging, queries, turns
from graph.checkpoints import RunSaver
from graph.compiled import Graph, Graphs
from graph.deadlines import ProjectDeadlines
from graph.driver import Driver, Outcome, RunBusy
from graph.holds import Holds
from graph.lifecycle import ENDED
from graph.progress import Progress
from graph.remembering import Remembering
from graph.requirement import checked_requirement, slug
from graph.rollback import Aim
from graph.runs import Run, Runs
from graph.schedules import Schedules
from graph.services import Services
from graph.summary import RunSummary, summary_of
from graph.supplies import Supplies
from graph.turns import IfActive
from memory.weights import Weights
from models.service import OFFLINE, Models
from models.spending.guard import Budgets
from teams.mcp.outside import Outside
from teams.registry import Registry
from workspace import policies
from workspace.leases import Leases
from workspace.projects import Workspace
from workspace.sandbox import Sandbox


class ProjectExists(BadInput):
    """The project has a repository already."""

    http_status = 409


@dataclass
class Factory:
    """An open factory. Use `Factory.open`; one instance per process serves any number of runs."""

    services: Services
    hub: Hub
    """Follows the event log for whoever reads here."""
    checkpointer: BaseCheckpointSaver[Any]
    model: str | None
    """What its runs record as their model: an override, or offline when that was chosen."""
    _graphs: Graphs

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings | None = None, *, model: str | None = None
    ) -> AsyncGenerator[Factory]:
        """Open everything a run needs: database (migrated), models, teams, workspace, sandbox."""
        settings = settings or Settings()
        async with AsyncExitStack() as stack:
            sandboxes = policies.load(settings).by_name
            registry = Registry.load(settings.pack, settings.pack_dirs, sandboxes=sandboxes)
            rules = policy.load(settings.policy_file)
            db = await stack.enter_async_context(Database.open(settings))
            events = EventLog(db)
            override = model or settings.model
            budgets = Budgets(db, day_usd=settings.budget_day)
            models = await stack.enter_async_context(
                await Models.open(settings, db, override=override, guard=budgets)
            )
            sandbox = await Sandbox.open(settings)
            runs = Runs(db, events)
            holds = Holds(db, settings.lease_seconds, settings.home / "fences")
            stack.push_async_callback(holds.close)
            services = Services(
                settings=settings,
                db=db,
                holds=holds,
                events=events,
                runs=runs,
                approvals=Approvals(db, events, ProjectDeadlines(settings, runs, db)),
                models=models,
                budgets=budgets,
                registry=registry,
                workspace=Workspace(settings),
                sandbox=sandbox,
                policy=rules,
                outside=Outside(settings),
                leases=Leases(db),
                memory=Remembering(db, settings.home, stack, Weights.of(settings.recall_weights)),
                supplies=Supplies.open(settings, db, sandbox),
            )
            # Offline stays offline: a run is resumed with the model that it was started with.
            recorded = OFFLINE if models.is_offline else override
            hub = Hub(db)
            stack.push_async_callback(hub.close)
            checkpointer = RunSaver(cast(Pool, (await db.checkpointer()).conn))
            graphs = Graphs(services, checkpointer, recorded, stack)
            yield cls(services, hub, checkpointer, recorded, graphs)

    @property
    def announcements(self) -> list[str]:
        """What every surface must show: scripted output, a missing or unsafe sandbox."""
        said = (self.services.models.announcement, self._of_sandbox)
        return [text for text in said if text]

    @property
    def _of_sandbox(self) -> str:
        sandbox = self.services.sandbox
        if sandbox.unsafe:
            return "no sandbox: generated code runs unconfined (--unsafe-no-sandbox)"
        if not sandbox.available:
            return f"no sandbox: generated code will not be run ({sandbox.why_not})"
        return ""

    @property
    def settings(self) -> Settings:
        """The settings it was opened with."""
        return self.services.settings

    @property
    def db(self) -> Database:
        """The database."""
        return self.services.db

    @property
    def events(self) -> EventLog:
        """The event log."""
        return self.services.events

    @property
    def approvals(self) -> Approvals:
        """The questions to people."""
        return self.services.approvals

    @property
    def schedules(self) -> Schedules:
        """What projects are given again and again."""
        return Schedules(self.db, self.events)

    @property
    def registry(self) -> Registry:
        """The teams."""
        return self.services.registry

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox."""
        return self.services.sandbox

    async def submit(
        self,
        requirement: str,
        *,
        project: str | None = None,
        repo: Path | None = None,
        pipeline: str = "full",
        approve_all: bool = False,
        budget_usd: Decimal | None = None,
        widens: bool = True,
        by: str = "",
        mail: str = "",
        if_active: IfActive | None = None,
        run_id: str | None = None,
        again: bool = True,
    ) -> str:
        """Record a run and return its id, which is `run_id` where one is given. Nothing is created when the
        input is refused.

        Unless it `widens`, `budget_usd` is refused where the project's settings give a run less. `by` is who
        submits it. `if_active` says what becomes of the runs that are active in the project. Under a `run_id`
        that was given it is recorded once, however often it is submitted; not `again` says that this is the
        first time. Raises ProjectBusy.
        """
        text = checked_requirement(requirement)
        self.pipeline(pipeline)
        services = self.services
        if again and run_id is not None and await services.runs.known(run_id):
            return run_id
        name = await self.free_project(text) if project is None else project
        if budget_usd is not None and not widens:
            await paying.within(services, name, budget_usd)
        if repo is not None and services.workspace.has(name):
            raise _has_repository(name, repo)
        repository = await services.workspace.project(name, source=repo)
        run_id = await services.runs.create(
            text,
            project=name,
            repository=repository.path,
            pipeline=pipeline,
            model=self.model,
            approve_all=approve_all,
            budget_usd=budget_usd,
            by=by,
            mail=mail,
            if_active=if_active,
            run_id=run_id,
        )
        if if_active is not None:
            await control.settle_all(services, (await services.run(run_id)).after)
        return run_id

    async def change(
        self,
        target: str,
        text: str,
        *,
        repo: Path | None = None,
        pipeline: str | None = None,
        approve_all: bool = False,
        budget_usd: Decimal | None = None,
        widens: bool = True,
        by: str = "",
        mail: str = "",
        if_active: IfActive | None = None,
        run_id: str | None = None,
    ) -> str:
        """Record a run that changes what a finished run made, or what a project holds; return its id.

        `repo` imports a repository as the new project `target` first. Nothing is created when the input is
        refused. `widens`, `by`, `mail`, `if_active` and `run_id` as for `submit`. Raises NotFound,
        RunUnfinished, ResultNotHere, ProjectExists, ProjectBusy.
        """
        text = checked_requirement(text, example='factory change RUN "Members have a phone number"')
        services = self.services
        if run_id is not None and await services.runs.known(run_id):
            return run_id
        if repo is not None:
            self.pipeline(pipeline or "full")
            if services.workspace.has(target):
                raise _has_repository(target, repo)
            await services.workspace.project(target, source=repo)
        found = await changes.find(services, target, imported=repo is not None)
        self.pipeline(pipeline or found.pipeline)
        if budget_usd is not None and not widens:
            await paying.within(services, found.project, budget_usd)
        run_id = await services.runs.create(
            text,
            project=found.project,
            repository=(await services.project(found.project)).path,
            pipeline=pipeline or found.pipeline,
            model=self.model,
            approve_all=approve_all,
            change=found.change,
            budget_usd=budget_usd,
            by=by,
            mail=mail,
            if_active=if_active,
            run_id=run_id,
        )
        if if_active is not None:
            await control.settle_all(services, (await services.run(run_id)).after)
        return run_id

    async def retry(self, run_id: str, *, by: str = "", new_id: str | None = None) -> str:
        """Record a run that begins anew with what an ended one was given; return its id.

        Raises RunUnfinished, RunPurged.
        """
        services = self.services
        run = await services.run(run_id)
        if run.status not in ENDED:
            raise changes.RunUnfinished(
                f"Run {run.id} is {run.status}: it has not ended",
                untouched="Nothing was started",
                todo="Resume it, or cancel it first",
            )
        purging.require_whole(run, "Nothing was started")
        self.pipeline(run.pipeline)
        return await services.runs.create(
            run.requirement,
            project=run.project,
            repository=(await services.project(run.project)).path,
            pipeline=run.pipeline,
            model=self.model,
            approve_all=run.approve_all,
            change=run.change,
            budget_usd=run.budget_usd,
            by=by,
            run_id=new_id,
        )

    async def drive(self, run_id: str, *, wait: bool = True) -> Outcome:
        """Execute the run until it ends or waits for a person.

        Where another process does, or it is not the run's turn in its project, wait; without `wait`, raise
        RunBusy.
        """
        await self._announce_sandbox(run_id)
        if wait:
            await turns.comes(self.db, run_id)
        elif behind := await turns.behind(self.db, run_id):
            raise RunBusy(f"Run {run_id} waits until {', '.join(behind)} is over")
        return await Driver(self.services, self.graph).drive(run_id, wait=wait)

    async def _announce_sandbox(self, run_id: str) -> None:
        """Whether code ran unconfined must be known from the log, long after the process is gone."""
        said = self._of_sandbox
        if said and (await self.services.run(run_id)).status not in ENDED:
            key = f"announced/{sha256(said.encode()).hexdigest()[:16]}"
            await self.events.append(run_id, "run.announced", {"text": said}, key=key)

    async def roll_back(self, run_id: str, stage: str, *, by: str) -> Aim:
        """Take a run back to where `stage` had ended; `drive` goes on from there.

        Raises StageNotEnded, RollbackUnfinished, RunBusy.
        """
        return await Driver(self.services, self.graph).roll_back(run_id, stage, by=by)

    async def answer(self, approval_id: str, decision: Decision, text: str | None, *, by: str) -> Approval:
        """Record a person's decision, once. Does not drive the run."""
        return await self.approvals.decide(approval_id, decision, answer=text, by=by)

    async def summary(self, run_id: str) -> RunSummary:
        """The run in one object."""
        return await self.summary_of(await self.services.run(run_id))

    async def summary_of(self, run: Run) -> RunSummary:
        """The same of a record that is fresh."""
        async with self.db.pool.connection() as conn:
            return await summary_of(conn, run)

    async def runs(self, limit: int = 50) -> list[RunSummary]:
        """The newest runs first."""
        return [await self.summary_of(run) for run in await self.services.runs.list(limit)]

    async def find(self, prefix: str) -> str:
        """The run id that a unique prefix, or `last`, stands for."""
        return await self.services.runs.find(prefix)

    async def progress(self, run_id: str) -> Progress:
        """The run's progress so far."""
        return Progress.of(await self.events.read(run_id))

    def follow(self, run_id: str, *, after: int = 0) -> AsyncIterator[Event]:
        """The run's events after position `after`, and those to come."""
        return self.hub.follow(run_id, after=after)

    def pipeline(self, name: str) -> dag.Pipeline:
        """A pipeline of the pack, or `team:ID`, one team alone; raises UnknownPipeline or PipelineInvalid."""
        return self._graphs.pipeline(name)

    def pipelines(self) -> dict[str, str]:
        """The pack's pipelines, with what each is for."""
        return self._graphs.pipelines()

    async def graph(self, run: Run) -> Graph:
        """The compiled graph of a run's pipeline, with the model that the run was started with."""
        return await self._graphs.of(run.model, run.pipeline)

    async def graph_of(self, pipeline: str) -> Graph:
        """The compiled graph of a pipeline, with the model that this factory was opened with."""
        return await self._graphs.of(self.model, pipeline)

    async def free_project(self, requirement: str) -> str:
        """A name for a project that nobody has yet, from the first words of what it is for."""
        stem = slug(requirement)
        async with self.db.pool.connection() as conn:
            for number in range(1, 10_000):
                name = stem if number == 1 else f"{stem}-{number}"
                # A folder may be there of a database that is gone: its content is none of this run's.
                if not (await queries.project_exists(conn, name) or self.services.workspace.has(name)):
                    return name
        raise BadInput(f"There are too many projects called {stem}", todo="Give one a name with --project")


def _has_repository(project: str, repo: Path) -> ProjectExists:
    return ProjectExists(
        f"The project {project!r} has a repository already, so that it cannot start from {repo}",
        untouched="Nothing was started, and neither repository was touched",
        todo="Leave out --repo to go on with the project, or choose another name for it",
    )
