"""What a change may begin from: a finished run whose result is in main, or a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from core.errors import BadInput, NotFound
from graph.lifecycle import ENDED
from graph.runs import Run
from graph.services import Services
from teams.output import shortened

if TYPE_CHECKING:
    from graph.state import Change

MOST_HISTORY: Final = 12
"""Requirements of a project that a change's teams are told: the first and the newest."""
MOST_HISTORY_CHARS: Final = 20_000
"""Characters of each."""

_NOTHING = "Nothing was started"


class RunUnfinished(BadInput):
    """The run has not ended: there is nothing to change yet."""

    http_status = 409


class ResultNotHere(BadInput):
    """What the run made is not in the project's main."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a name stands for."""

    project: str
    pipeline: str
    change: Change


async def find(services: Services, name: str, *, imported: bool = False) -> Found:
    """The project of that name, or the finished run of that id, its unique beginning, or `last`.

    `imported`: the name is a project's that has just been made.
    Raises NotFound, RunUnfinished, ResultNotHere.
    """
    if imported or services.workspace.has(name):
        made = await released(services, name)
        return Found(name, made[-1].pipeline if made else "full", await _change(services, "", made))
    try:
        run = await services.runs.get(await services.runs.find(name))
    except NotFound:
        raise NotFound(
            f"There is no project and no run {name[:80]!r}",
            untouched=_NOTHING,
            todo="List the runs with `factory runs`, or import a repository with --repo PATH",
        ) from None
    if run.status not in ENDED:
        raise RunUnfinished(
            f"Run {run.id} is {run.status}: it has made nothing yet that could be changed",
            untouched=_NOTHING,
            todo=f"Finish it first with `factory resume {run.id}`",
        )
    made = await released(services, run.project)
    if run.id not in {other.id for other in made}:
        raise _not_here(run)
    return Found(run.project, run.pipeline, await _change(services, run.id, made))


async def released(services: Services, project: str) -> list[Run]:
    """The completed runs of a project whose result is in its main, the oldest first."""
    repository = await services.project(project)
    return [
        run
        for run in await services.runs.of_project(project)
        if run.status == "completed"
        and run.result_commit
        and await repository.holds("refs/heads/main", run.result_commit)
    ]


async def _change(services: Services, of: str, made: list[Run]) -> Change:
    whole = [run for run in made if not run.purged]
    texts = [text for run in whole for text in (run.requirement, *await _comments(services, run.id))]
    kept = texts if len(texts) <= MOST_HISTORY else [texts[0], *texts[1 - MOST_HISTORY :]]
    return {"of": of, "history": [shortened(text, MOST_HISTORY_CHARS) for text in kept]}


async def _comments(services: Services, run_id: str) -> list[str]:
    """What reviews asked for on the way."""
    rounds = await services.events.read(run_id, kinds=["round.started"])
    return [str(event.payload["comment"]) for event in rounds]


def _not_here(run: Run) -> ResultNotHere:
    if run.status == "completed":
        return ResultNotHere(
            f"Run {run.id} was released to the project's remote, and main here does not have it yet",
            untouched=_NOTHING,
            todo=f"Merge its pull request, then: factory project sync {run.project}",
        )
    return ResultNotHere(
        f"Run {run.id} ended as {run.status}: nothing of it is in the project's main",
        untouched=_NOTHING,
        todo=f"Change the project as it is: factory change {run.project} …",
    )
