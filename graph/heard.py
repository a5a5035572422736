"""What a stage heard from others: what people decided, and what other teams answered. Each with its event."""

from __future__ import annotations

from typing import Any, Final

from core.events import Event
from graph.stage_context import StageContext
from graph.state import StageState
from memory.extraction.subjects import question_subject
from memory.lineage.taking_back import PERSON
from memory.records import Draft, Kind, Source
from memory.screening import screen

_NOBODY: Final = frozenset({"", "--approve-all"})
"""Who is no person."""
_SAID: Final = frozenset({"respond", "edit", "revise"})
_LONGEST: Final = 2_000


async def by_people(stage: StageContext, state: StageState) -> list[Draft]:
    """What people told this stage, as decisions: they stand whatever becomes of the run."""
    if not (state["clarifications"] or state["escalations"] or state.get("comment")):
        return []
    events = await stage.services.events.read(state["run_id"], kinds=["approval.decided"])
    approvals = stage.services.approvals
    drafts: list[Draft] = []
    for event in events:
        told: dict[str, Any] = event.payload
        if told.get("by") in _NOBODY or told.get("decision") not in _SAID:
            continue
        approval = await approvals.get(str(told["approval_id"]))
        mine = approval.team == stage.team.id or (approval.kind == "review" and state.get("comment"))
        if mine and approval.answer and approval.answer.strip():
            drafts.append(_decided(stage, state, event, approval.kind, approval.question, approval.answer))
    return drafts


def _decided(
    stage: StageContext, state: StageState, event: Event, kind: str, question: str, answer: str
) -> Draft:
    said = " ".join(answer.split())[:_LONGEST]
    asked = " ".join(question.split())[:_LONGEST]
    text = (
        f"A person reviewed the run: {said}"
        if kind == "review"
        else f"Asked: {asked} A person answered: {said}"
    )
    name = stage.key(state)
    return Draft(
        text=text,
        kind=Kind.DECISION,
        source=Source(state["run_id"], event.seq, event.hash, name),
        speaker=PERSON,
        session=f"{state['run_id']}/{name}",
        at=event.at,
        subject=question_subject(screen(question).text) if kind == "clarification" else None,
    )
