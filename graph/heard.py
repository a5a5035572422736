"""What a stage heard from others: what people decided, and what other teams answered. Each with its event."""

from __future__ import annotations

from typing import Any, Final

from core.events import Event
from graph.broker import PERSON as A_PERSON
from graph.stage_context import StageContext
from graph.state import StageState
from memory.extraction.echoes import MARK
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


async def by_teams(stage: StageContext, state: StageState) -> list[tuple[str, Draft]]:
    """What other teams answered in this stage, as decisions: for the bank of who asked, and of who answered.

    Each with the team whose bank it is for. They are claims of the run: where it fails, they are taken back.
    """
    if not state["clarifications"]:
        return []
    name = stage.key(state)
    events = await stage.services.events.read(state["run_id"], kinds=["clarification.answered"])
    drafts: list[tuple[str, Draft]] = []
    for event in events:
        told: dict[str, Any] = event.payload
        asker, target, answer = (str(told.get(each) or "") for each in ("asker", "target", "answer"))
        mine = (event.key or "").startswith(f"{name}/clarify/")
        # What repeats a memory is nothing that was decided now.
        if not mine or target == A_PERSON or not answer.strip() or MARK.search(answer):
            continue
        question = str(told.get("question") or "")
        said, asked = (" ".join(each.split())[:_LONGEST] for each in (answer, question))
        source = Source(state["run_id"], event.seq, event.hash, name)
        for bank, text in (
            (asker, f"Asked {target}: {asked} {target} answered: {said}"),
            (target, f"{asker} asked: {asked} Answered: {said}"),
        ):
            draft = Draft(
                text=text,
                kind=Kind.DECISION,
                source=source,
                speaker=target,
                session=f"{state['run_id']}/{name}",
                at=event.at,
                subject=question_subject(screen(question).text),
            )
            drafts.append((bank, draft))
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
