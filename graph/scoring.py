"""Tells whoever traces how the gate and people ruled, as scores; nothing fails of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from core import logs
from core.errors import FactoryError
from graph.gate import Ruling
from graph.people import Answer
from graph.services import Services
from graph.stage_context import StageContext
from graph.state import StageState
from models.scores import Score
from models.service import Models

_log = logs.get(__name__)


async def gate(stage: StageContext, state: StageState, ruling: Ruling, *, key: str) -> None:
    """A ruling on one attempt of a stage, by the key of its event inside the stage."""
    score = Score(
        run_id=state["run_id"],
        key=f"{stage.key(state)}/{key}",
        name="gate",
        value=ruling.verdict,
        comment="\n".join(ruling.reasons),
        about={"team": stage.team.id, "round": state["round"], "attempt": state["attempt"]},
    )
    services, team = stage.services, stage.team.id
    await _tell(services, score, lambda: services.models_for(score.run_id, team))


async def review(services: Services, run_id: str, answer: Answer, *, key: str) -> None:
    """What a person decided about the whole change, or that nobody did."""
    about: dict[str, str | int] = {"by": answer["by"]} if answer["by"] else {}
    score = Score(run_id, key, "review", answer["decision"], answer["text"], about)
    await _tell(services, score, lambda: services.models_for(run_id, None))


async def opinion(services: Services, score: Score, *, project: str | None, team: str | None) -> None:
    """What a person thought of a run, or of what a team said in a talk: about `project`, or about none."""

    async def models() -> Models:
        view = services.models.view(project=None, team=team)
        return view if project is None else await services.models_of(project, team)

    await _tell(services, score, models)


async def _tell(services: Services, score: Score, models_of: Callable[[], Awaitable[Models]]) -> None:
    """Tell of a score, unless nothing of what it is about may leave this machine."""
    if not services.models.traces:
        return
    try:
        models = await models_of()
    except FactoryError as error:  # who may not be told cannot be known: nobody is
        _log.warning("not scored", run=score.run_id, error=str(error))
        return
    models.score(score)
