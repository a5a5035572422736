"""What a run made, as a commit of its project's repository."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import BadInput
from graph.runs import Run
from workspace.projects import Workspace
from workspace.repository import Repository


class NothingToCompare(BadInput):
    """The run has not begun to work in its repository."""

    http_status = 409


@dataclass(frozen=True, slots=True)
class Made:
    """Where a run began, and how far it is."""

    repository: Repository
    base: str
    head: str


async def made(workspace: Workspace, run: Run) -> Made:
    """The commits of a run. Raises NothingToCompare before it has any."""
    if run.base_commit is None or not workspace.has(run.project):
        raise NothingToCompare(
            f"Run {run.id} has changed nothing yet: it is {run.status}",
            todo=f"Look at it with: factory show {run.id}",
        )
    repository = await workspace.project(run.project)
    return Made(repository, run.base_commit, await repository.run_head(run.id))
