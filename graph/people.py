"""A person in the loop: a row in `approvals`, an interrupt that carries it, and the answer that comes back.

LangGraph runs a node again from its top when it is resumed, so asking is three nodes: one that writes the
row, one that does nothing but `interrupt()`, and one that acts on the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any, Final

from langgraph.graph import END
from langgraph.types import interrupt

from governance.approvals import (
    AlreadyDecided,
    AnswerMissing,
    Approval,
    NotAllowed,
    hitl_request,
)
from governance.decisions import parse_decision
from graph.lifecycle import move, wake
from graph.services import Services
from graph.state import Answer, Question, RunState
from models.spending.amount import AmountInvalid

MAILED: Final = frozenset({"escalation", "review"})
"""Kinds of questions that have a thread in the mail. A clarification's is the asking team's; before a run has
a branch, there is nowhere to write; and a release names the very commit, which mail would move."""

CLIENT: Final = "a LangGraph client"
"""Who decided, when an answer came as a bare resume."""

NOBODY_ASKED: Final[Question] = {"approval_id": "", "kind": "", "payload": {}}
"""What stands in the state while no question waits for a person."""


def by_hand(repository: Path, command: str) -> str:
    """A line of its own that a person can copy into a terminal. It leaves them where they are: the next
    `factory` looks for its home there."""
    return f"\n  git -C {quote(str(repository))} {command}"


def waits(state: Mapping[str, Any]) -> bool:
    """Whether the state holds a question that a person has not answered yet."""
    asked = state.get("question")
    return bool(asked and asked["approval_id"])


def if_asked(state: RunState) -> str:
    """Where a node leads that may have asked a person."""
    return "ask_person" if waits(state) else END


def question(approval: Approval) -> Question:
    """The interrupt's payload for a row that is already in `approvals`."""
    return {"approval_id": approval.id, "kind": approval.kind, "payload": hitl_request(approval)}


async def ask(state: Any) -> dict[str, Any]:
    """The node that waits. Nothing with an effect may stand before the interrupt."""
    decision, text = parse_decision(interrupt(state["question"]["payload"]))
    return {"answer": {"decision": decision, "text": text or "", "by": ""}}


async def settle(services: Services, state: Any) -> Answer | None:
    """What was decided, from the row, which is the truth whatever surface the answer came through.

    The factory's own surfaces write the row first and then resume. A LangGraph client resumes directly: then
    its answer is written now, unless somebody was quicker. None when its answer is none that the question
    allows: the question stays open, and the node that called asks again.
    """
    approvals, asked, given = services.approvals, state["question"], state["answer"]
    approval = await approvals.get(asked["approval_id"])
    if approval.decision is None:
        try:
            approval = await approvals.decide(
                approval.id, given["decision"], answer=given["text"] or None, by=CLIENT
            )
        except AlreadyDecided:
            approval = await approvals.get(approval.id)
        except (NotAllowed, AnswerMissing, AmountInvalid):
            return None
    if approval.kind in MAILED:
        await (await services.mail(approval.run_id)).decided(approval)
    await wake(services.db, services.events, approval.run_id)
    return {
        "decision": approval.decision or "expired",
        "text": approval.answer or "",
        "by": approval.decided_by or "",
    }


async def turn_down(
    services: Services, state: Any, answer: Answer, *, key: str, late: str, refused: str
) -> dict[str, Any]:
    """End the run as rejected, and say why: `late` where nobody answered, `refused` with who it was by."""
    why = late if answer["decision"] == "expired" else f"{refused} by {answer['by']}"
    reason = f"{why}: {answer['text']}".rstrip(": ")
    await move(services.db, services.events, state["run_id"], "rejected", key=key, failure=reason)
    return {"question": NOBODY_ASKED, "halted": f"rejected: {reason}"}


def resume_value(approval: Approval) -> dict[str, Any]:
    """A decided row as the value to resume its interrupt with, in LangChain's dialect.

    The dialect has no word for a deadline that passed; `settle` reads that from the row.
    """
    decision: dict[str, Any] = {"type": "reject" if approval.decision == "expired" else approval.decision}
    if approval.answer:
        decision["message"] = approval.answer
    return {"decisions": [decision]}
