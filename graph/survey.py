"""What `plan` finds out before a change: whom it concerns, what the project has, whether its tests pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graph import touched
from graph.checking import payload
from graph.services import Services
from graph.state import Change
from teams import globs
from teams.team import Team
from workspace.checks import run_checks
from workspace.repository import Repository

MOST_FILES_OF_A_TERM = 0.2
"""Share of the project's files above which a word tells nothing of where a change belongs."""
_FEW = 100
_BEFORE = "before"


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found."""

    change: Change
    concerned: tuple[Team, ...]
    """The teams that are concerned, as the planner is to see them."""
    skipped: dict[str, str]
    """The others, each with its reason."""
    notes: tuple[str, ...]


async def survey(
    services: Services, run_id: str, requirement: str, change: Change, teams: Sequence[Team]
) -> Survey:
    """Look at the text and at the main from which the run begins. Moves nothing but the refs of the run."""
    repository = await services.repository(run_id)
    base = await repository.begin_run(run_id)
    files = await repository.files(base)
    named = touched.named_files(requirement, files)
    about = await _mentions(repository, base, touched.terms(requirement), len(files))
    found = touched.touched(requirement, teams, named, about)
    notes = [f"{team} works: {touch.reason}" for team, touch in found.items()]
    if not found:
        notes = ["nothing tells which teams the change concerns: those that are always needed work"]
        found = {team.id: touched.Touch(notes[0], sure=False) for team in teams if team.required}
    concerned = [
        team.model_copy(update={"required": found[team.id].sure, "skip_unless": ()})
        for team in teams
        if team.id in found
    ]
    return Survey(
        change={
            **change,
            "adopted": touched.adopted(files, named, teams),
            "deliverables": {team.id: _there(team, files) for team in concerned},
            "criteria": touched.criteria(requirement),
            "tests": await _tests_before(services, run_id, base, teams),
        },
        concerned=tuple(concerned),
        skipped={
            team.id: touched.untouched(team, files, list(about)) for team in teams if team.id not in found
        },
        notes=tuple(notes),
    )


async def _mentions(
    repository: Repository, base: str, terms: Sequence[str], files: int
) -> dict[str, list[str]]:
    """The files that speak of each term; not of a term that stands everywhere."""
    most = max(_FEW, int(files * MOST_FILES_OF_A_TERM))
    found = {term: await repository.speaking_of(base, touched.spellings(term)) for term in terms}
    return {term: paths for term, paths in found.items() if paths and len(paths) <= most}


def _there(team: Team, files: Sequence[str]) -> list[str]:
    return [glob for glob in team.deliverables if any(globs.matches(glob, path) for path in files)]


async def _tests_before(services: Services, run_id: str, base: str, teams: Sequence[Team]) -> str:
    """What the project's own tests come to before anything is changed; empty where they do not all pass."""
    if not any("tests" in team.checks for team in teams):
        return ""
    tree = await services.tree(run_id, _BEFORE, base=base)
    await tree.restore(base)
    libraries = (await services.supply(run_id, tree)).libraries
    (result,) = await run_checks(["tests"], tree.path, services.sandbox.with_libraries(libraries))
    told = await services.events.append(
        run_id,
        "change.baseline",
        {**await payload(services, run_id, _BEFORE, result), "commit": base},
        key="plan/baseline",
    )
    await (await services.repository(run_id)).close_stage(tree)
    recorded: dict[str, Any] = told.payload
    return str(recorded["summary"]) if recorded["passed"] else ""
