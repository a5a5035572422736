"""The factory as a program uses it: open it, submit a requirement, drive the run, answer its questions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from typing_extensions import Unpack

from core.database import Database
from core.events import Event, EventLog
from core.hub import Hub
from core.incarnation import Pool
from core.settings import Settings
from governance import policy
from governance.approvals import Approval, Approvals, Decision
from graph import dag, turns
from graph.checkpoints import RunSaver
from graph.compiled import Graph, Graphs
from graph.deadlines import ProjectDeadlines
from graph.driver import Driver, Outcome, RunBusy
from graph.holds import Holds
from graph.lifecycle import ENDED
from graph.progress import Progress
from graph.remembering import Remembering
from graph.rollback import Aim
from graph.runs import Run, Runs
from graph.schedules import Schedules
from graph.services import Services
from graph.submitting import Submitting, Terms
from graph.summary import RunSummary, summary_of
from graph.supplies import Supplies
from memory.weights import Weights
from models.service import OFFLINE, Models
from models.spending.guard import Budgets
from teams.mcp.outside import Outside
from teams.registry import Registry
from workspace import policies
from workspace.leases import Leases
from workspace.projects import Workspace
from workspace.sandbox import Sandbox


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
        again: bool = True,
        **terms: Unpack[Terms],
    ) -> str:
        """Record a run and return its id, which is `run_id` where one is given. Nothing is created when the
        input is refused.

        Not `again` says that it is the first time that this `run_id` is submitted. Raises ProjectExists,
        ProjectBusy.
        """
        return await self._submitting.submit(
            requirement, project=project, repo=repo, pipeline=pipeline, again=again, terms=terms
        )

    async def change(
        self,
        target: str,
        text: str,
        *,
        repo: Path | None = None,
        pipeline: str | None = None,
        **terms: Unpack[Terms],
    ) -> str:
        """Record a run that changes what a finished run made, or what a project holds; return its id.

        `repo` imports a repository as the new project `target` first. Nothing is created when the input is
        refused. Raises NotFound, RunUnfinished, ResultNotHere, ProjectExists, ProjectBusy.
        """
        return await self._submitting.change(target, text, repo=repo, pipeline=pipeline, terms=terms)

    async def retry(self, run_id: str, *, by: str = "", new_id: str | None = None) -> str:
        """Record a run that begins anew with what an ended one was given; return its id.

        Raises RunUnfinished, RunPurged.
        """
        return await self._submitting.retry(run_id, by=by, new_id=new_id)

    async def free_project(self, requirement: str) -> str:
        """A name for a project that nobody has yet, from the first words of what it is for."""
        return await self._submitting.free_project(requirement)

    @property
    def _submitting(self) -> Submitting:
        return Submitting(self.services, self.model, self.pipeline)

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
