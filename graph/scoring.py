"""Tells whoever traces how the gate and a reviewer ruled, as scores of the run; a run never fails of it."""

from __future__ import annotations

from core import logs
from core.errors import FactoryError
from graph.gate import Ruling
from graph.people import Answer
from graph.services import Services
from graph.stage_context import StageContext
from graph.state import StageState
from models.tracing import Score

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
    await _tell(stage.services, score, stage.team.id)


async def review(services: Services, run_id: str, answer: Answer, *, key: str) -> None:
    """What a person decided about the whole change, or that nobody did."""
    about: dict[str, str | int] = {"by": answer["by"]} if answer["by"] else {}
    await _tell(services, Score(run_id, key, "review", answer["decision"], answer["text"], about), None)


async def _tell(services: Services, score: Score, team: str | None) -> None:
    if not services.models.traces:
        return
    try:
        models = await services.models_for(score.run_id, team)
    except FactoryError as error:  # who may not be told cannot be known: nobody is
        _log.warning("not scored", run=score.run_id, error=str(error))
        return
    models.score(score)
