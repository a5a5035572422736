"""Takes away the worktrees that ended runs left behind, for a person who has looked at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.database import Database
from graph.alone import only_driver
from graph.lifecycle import ENDED
from graph.runs import Runs
from workspace.repository import Repository


@dataclass(frozen=True, slots=True)
class Leftover:
    """The worktrees of one run."""

    run_id: str
    status: str
    stages: tuple[str, ...]
    removed: bool
    why: str = ""
    """Why they were left."""


async def clean(
    db: Database, runs: Runs, repository: Repository, *, only: str | None = None, dry: bool = False
) -> list[Leftover]:
    """Remove the worktrees of the project's ended runs, or of `only`; tells of all that there are.

    A `dry` one removes nothing and tells the same. Those of a run that has not ended, or that a process is at
    work on, stay. What was merged is on the run's branch and stays too.
    """
    found: list[Leftover] = []
    for run in await runs.of_project(repository.name):
        stages = tuple(await repository.open_stages(run.id))
        if not stages or only not in (None, run.id):
            continue
        async with only_driver(db, run.id) as mine:
            # A rollback may have opened it again since it was listed.
            status = (await runs.get(run.id)).status
            if mine is None or status not in ENDED:
                why = "a process works on it" if mine is None else "it has not ended"
                found.append(Leftover(run.id, status, stages, removed=False, why=why))
                continue
            if not dry:
                await _remove(repository, run.id, stages)
        found.append(Leftover(run.id, status, stages, removed=True))
    return found


async def _remove(repository: Repository, run_id: str, stages: Sequence[str]) -> None:
    for stage in stages:
        await repository.close_stage(await repository.open_stage(run_id, stage))
