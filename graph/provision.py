"""A dependency that may not be installed is a question to a person; the answer goes back to the team."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from core.json import JsonObject
from graph import people
from graph.stage_context import StageContext
from graph.state import StageState
from graph.supplies import PREFIX, Refusal
from teams import prompts
from teams.history import lasting

DEPENDENCY: Final = "dependency"
"""The kind of such a question inside the graph; for people it is an escalation, which no flag decides."""


@dataclass(frozen=True)
class Provision:
    """The nodes in which a stage's dependencies are asked about, one at a time."""

    stage: StageContext

    async def provide(self, state: StageState) -> dict[str, Any]:
        """Look again, and ask about the first dependency that nobody has decided about."""
        stage, run_id = self.stage, state["run_id"]
        supply = await stage.services.supply(run_id, await stage.tree(state))
        if not supply.open:
            return {"question": people.NOBODY_ASKED, "unsupplied": False}
        refusal = supply.open[0]
        prefix = f"{PREFIX}{refusal.signature}/"
        answered = await stage.services.approvals.decided_in_project(run_id, prefix)
        number = 1 + sum(each.run_id == run_id for each in answered)
        detail: JsonObject = {
            **asdict(refusal),
            "signature": refusal.signature,
            "allows": refusal.can_be_allowed,
            "needed_by": stage.team.id,
        }
        approval = await stage.services.approvals.request(
            run_id,
            kind="escalation",
            key=f"{prefix}{number}",
            team=stage.team.id,
            risk="MEDIUM",
            title=f"Dependency: {refusal.name}"[:200],
            question=_words(refusal, stage.team.name),
            allowed=("approve", "reject"),
            detail=detail,
        )
        await (await stage.services.mail(run_id)).asked(approval)
        return {"question": {**people.question(approval), "kind": DEPENDENCY}, "unsupplied": True}

    async def heard(self, state: StageState) -> dict[str, Any]:
        """Take note of a person's decision: install and go on, or tell the team to do without."""
        stage, asked = self.stage, state["question"]["approval_id"]
        answer = await people.settle(stage.services, state)
        if answer is None:
            return {}
        supply = await stage.services.supply(
            state["run_id"], await stage.tree(state), again=answer["decision"] == "approve"
        )
        update: dict[str, Any] = {"question": people.NOBODY_ASKED, "unsupplied": bool(supply.open)}
        signature = (await stage.services.approvals.get(asked)).detail.get("signature")
        refused = [each for each in supply.refused if each.decided and each.signature == signature]
        if refused:
            reasons = [f"{each.sentence}. Do without it, and declare it no more" for each in refused]
            text = prompts.feedback(reasons, team=stage.team, operative=stage.team.author)
            update["messages"] = [lasting(text, f"{stage.key(state)}/{PREFIX}{asked}")]
        return update


def after_provision(state: StageState) -> str:
    """To the person when one is asked, else on with the work."""
    if people.waits(state):
        return "ask_person"
    return "clarify" if state["pending"] else "work"


def _words(refusal: Refusal, team: str) -> str:
    approve = "it is allowed for this project" if refusal.can_be_allowed else "it was put right: look again"
    return (
        f"{team} needs {refusal.requirement}; its licence: {refusal.licence or 'not known'}. "
        f"It is not installed: {refusal.text}.\n"
        f"approve: {approve}\n"
        "reject: it is refused, and the team does without it (a project that came with it goes on as it is)"
    )
