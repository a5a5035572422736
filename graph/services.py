"""What the nodes work with: every service of a factory, opened once per process."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.database import Database
from core.events import EventLog
from core.settings import Settings
from governance.approvals import Approvals
from governance.policy import Policy
from graph.holds import Holds
from graph.mailing import Mailing
from graph.remembering import Remembering
from graph.runs import Run, Runs
from graph.supplies import Supplies, Supply
from models.service import Models
from models.spending.guard import Budgets
from teams.mcp.outside import Offer, Outside
from teams.registry import Registry
from teams.team import Team
from workspace import project_settings
from workspace.checks import Baseline
from workspace.leases import Leases
from workspace.projects import Workspace
from workspace.repository import Repository
from workspace.sandbox import Sandbox
from workspace.stage import StageTree


@dataclass
class Services:
    """The services behind a graph. One instance serves any number of runs."""

    settings: Settings
    db: Database
    holds: Holds
    """What this process drives."""
    events: EventLog
    runs: Runs
    approvals: Approvals
    models: Models
    budgets: Budgets
    """What keeps models within the budgets."""
    registry: Registry
    workspace: Workspace
    sandbox: Sandbox
    policy: Policy
    outside: Outside
    """The MCP servers that teams may have tools of."""
    supplies: Supplies
    """What products need of others."""
    leases: Leases
    """Who works where."""
    memory: Remembering
    """What the teams of projects remember."""
    repositories: dict[str, Repository] = field(default_factory=dict[str, Repository], repr=False)
    """The projects' repositories that this process has opened."""
    baselines: dict[str, Baseline | None] = field(default_factory=dict[str, "Baseline | None"], repr=False)
    """What the checks say of the commits that runs started from; None for one without a file."""
    _origins: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]], repr=False)
    """Each run's project, and who submitted it."""
    _bases: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """The commits that runs began from: once one is there it stays."""
    _wishes: dict[str, str | None] = field(default_factory=dict[str, str | None], repr=False)

    async def run(self, run_id: str) -> Run:
        """The run's record, fresh."""
        return await self.runs.get(run_id)

    async def project_of(self, run_id: str) -> str:
        """The name of the run's project."""
        return (await self._origin(run_id))[0]

    async def _origin(self, run_id: str) -> tuple[str, str]:
        if run_id not in self._origins:
            run = await self.runs.get(run_id)
            self._origins[run_id] = run.project, run.by
        return self._origins[run_id]

    async def base_of(self, run_id: str) -> str | None:
        """The commit that the run began from; None before it has begun."""
        base = self._bases.get(run_id) or (await self.runs.get(run_id)).base_commit
        if base is not None:
            self._bases[run_id] = base
        return base

    async def repository(self, run_id: str) -> Repository:
        """The repository of the run's project."""
        return await self.project(await self.project_of(run_id))

    async def models_for(self, run_id: str, team: str | None) -> Models:
        """The models as one team of the run's project sees them: its aliases, whether cloud is forbidden."""
        project, by = await self._origin(run_id)
        return await self.models_of(project, team, by=by)

    async def models_of(self, project: str, team: str | None, *, by: str = "") -> Models:
        """The models as one team of a project sees them, `by` for whom."""
        # Read each time: cloud that was forbidden a moment ago is forbidden for the next call.
        settings = await project_settings.operators(self.settings.home, project)
        return self.models.view(project=project, team=team, local_only=settings.models.local_only, by=by)

    async def tools_from_outside(self, team: Team, run_id: str) -> Offer:
        """The tools of MCP servers for a team, by what `project.toml` said when the run began."""
        if run_id not in self._wishes:
            run = await self.runs.get(run_id)
            commit = run.base_commit or "main"
            self._wishes[run_id] = await (await self.repository(run_id)).read(commit, "project.toml")
        return await self.outside.offer(team, await self.project_of(run_id), self._wishes[run_id])

    async def mail(self, run_id: str) -> Mailing:
        """The mail of a run."""
        return Mailing(self.events, await self.repository(run_id), run_id)

    async def supply(self, run_id: str, tree: StageTree, *, again: bool = False) -> Supply:
        """The dependencies of what lies in a worktree: installed, or why not."""
        repository = await self.repository(run_id)
        base = await self.base_of(run_id) or "refs/heads/main"
        return await self.supplies.of(run_id, repository, base, tree.path, again=again)

    async def project(self, name: str) -> Repository:
        """The repository of a project, opened once."""
        if name not in self.repositories:
            self.repositories[name] = await self.workspace.project(name)
        return self.repositories[name]

    async def tree(self, run_id: str, name: str, *, base: str | None = None) -> StageTree:
        """The worktree of that name, created if it is not there."""
        return await (await self.repository(run_id)).open_stage(run_id, name, base=base)
