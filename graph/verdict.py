"""What follows from the gate: the ruling itself, escalation to a person, retaining the work, or failing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.messages import ToolMessage

from core import faults
from core.events import Entry
from core.json import JsonObject
from governance.approvals import Decision
from graph import people, retaining, scoring
from graph.evidence import attempt_key, gather
from graph.gate import Ruling, decide
from graph.leasing import give_back
from graph.snapshot import snapshot
from graph.stage_context import StageContext
from graph.state import StageOutcome, StageState
from graph.work import CLARIFY
from teams import prompts
from teams.contract import TaskResult
from teams.history import lasting
from teams.wording import Places
from workspace.mail.message import is_mail, render

AFRESH = "your worktree now starts from the branch with their change: do your work again on top of it"
BOTH = "your worktree now holds their change and yours; where they met, both are laid out for you to decide"

_OFFERS = {
    "respond": "with guidance, it tries again",
    "approve": "its work is accepted as it is",
    "reject": "the run stops",
}

MOST_ESCALATIONS = 5
"""Times a person may send one stage on in one round: the last bound of the last loop."""


@dataclass(frozen=True)
class Verdicts:
    """The nodes after the report."""

    stage: StageContext

    async def gate(self, state: StageState) -> dict[str, Any]:
        """Gather the evidence, rule, and say so in the log."""
        stage = self.stage
        state = {**state, "passages": state["passages"] + 1}
        evidence = await gather(stage, state)
        ruling = await self._ruled(state, decide(evidence))
        update: dict[str, Any] = {
            "verdict": ruling.verdict,
            "reasons": list(ruling.reasons),
            "passages": state["passages"],
        }
        if ruling.verdict == "retry":
            update |= self._again(state, ruling)
        if ruling.verdict == "escalate" and state.get("repair"):
            # There is one question about a conflict, and who merges asks it (graph/reconcile.py).
            update["verdict"] = "fail"
        if ruling.verdict == "clarify" and evidence.result and evidence.result.clarification_needed:
            asked = evidence.result.clarification_needed
            update["pending"] = [{"call_id": "", "target": asked.target_team, "question": asked.question}]
        return update

    async def escalate(self, state: StageState) -> dict[str, Any]:
        """Ask a person: go on with guidance, accept what is there, or stop."""
        stage = self.stage
        number = state["escalations"] + 1
        allowed = offered(number, conflict=bool(state["conflicts"]))
        reasons = "\n".join(f"- {reason}" for reason in state["reasons"])
        approval = await stage.services.approvals.request(
            state["run_id"],
            kind="escalation",
            key=f"{stage.key(state)}/escalation/{number}",
            team=stage.team.id,
            risk="MEDIUM",
            title=f"{stage.team.name} cannot go on",
            question=(
                f"{stage.team.name} cannot go on by itself:\n{reasons}\n"
                + "\n".join(f"{decision}: {_OFFERS[decision]}" for decision in allowed)
            ),
            allowed=allowed,
            detail={"reasons": list(state["reasons"]), "attempt": state["attempt"]},
        )
        await (await stage.services.mail(state["run_id"])).asked(approval)
        return {"question": people.question(approval), "escalations": number}

    async def heard(self, state: StageState) -> dict[str, Any]:
        """Act on what the person decided about a stage that could not go on."""
        answer = await people.settle(self.stage.services, state)
        if answer is None:
            return {}
        update: dict[str, Any] = {
            "question": people.NOBODY_ASKED,
            "worked": 0.0,
            "exhausted": "",
            "trace": [],
            "conflicts": [],
        }
        if answer["decision"] in {"respond", "edit"}:
            ruling = Ruling("retry", (f"{answer['by']} says: {answer['text']}",))
            return {**update, **await self._guided(state, ruling)}
        if answer["decision"] == "approve":
            ruling = Ruling("pass", (f"accepted as it is by {answer['by']}",))
            await self._ruled(state, ruling, suffix="/person")
            return {**update, "verdict": "pass", "reasons": [*ruling.reasons, *state["reasons"]]}
        reason = (
            "nobody answered in time" if answer["decision"] == "expired" else f"stopped by {answer['by']}"
        )
        if answer["text"]:
            reason = f"{reason}: {answer['text']}"
        await self._ruled(state, Ruling("fail", (reason,)), suffix="/person")
        return {**update, "verdict": "fail", "reasons": [reason, *state["reasons"]]}

    async def stopped(self, state: StageState, why: str) -> dict[str, Any]:
        """Fail the stage because a person stopped it, or nobody answered."""
        await self._ruled(state, Ruling("fail", (why,)), suffix="/person")
        return {"verdict": "fail", "reasons": [why]}

    async def retain(self, state: StageState) -> dict[str, Any]:
        """Merge the stage's work into the run's branch and close the stage; a conflict undoes nothing."""
        stage = self.stage
        if state.get("repair"):
            return await self._repaired(state)
        repository = await stage.repository(state)
        tree = await stage.tree(state)
        objective = stage.objective(state)
        mailing = await stage.services.mail(state["run_id"])
        result = TaskResult.model_validate(state["result"]) if state.get("result") else None
        handed = await mailing.hand_off(
            stage.team,
            f"{stage.key(state)}/hand-off",
            stage.team_ids,
            result,
            await tree.changed(),
        )
        merge = await repository.merge_stage(
            tree,
            message=f"{stage.team.name}: {state.get('title') or 'work'} (round {state['round']})",
            trailers={
                "Factory-Run": state["run_id"],
                "Factory-Stage": stage.key(state),
                "Factory-Team": stage.team.id,
                "Factory-Objective": objective.id,
            },
            mail={handed.path: render(handed).encode()},
        )
        faults.point("retain.merged")
        if merge.conflicts:
            return await self._conflict(state, merge.conflicts)
        files = [path for path in merge.files if not is_mail(path)]
        merged: JsonObject = {"commit": merge.commit, "files": list(files)}
        outcome = self._outcome(state, "pass", commit=merge.commit, files=files)
        taken = await snapshot(stage, state, outcome)
        told = await stage.events(
            state,
            await mailing.told(handed),
            stage.entry(state, "stage.merged", merged, "merged"),
            taken,
            self._ended(state, outcome),
        )
        await retaining.remember(stage, state, taken.texts or {}, told[2])
        return {"results": {stage.team.id: outcome}, "verdict": "pass"}

    async def close(self, state: StageState) -> dict[str, Any]:
        """Remove the worktree. A node of its own: until it is checkpointed, `retain` may need it again."""
        repository = await self.stage.repository(state)
        await repository.close_stage(await self.stage.tree(state))
        await give_back(self.stage, state)
        for name in rebased(self.stage.key(state), state["rebases"])[:-1]:
            await repository.close_stage(await self.stage.services.tree(state["run_id"], name))
        return {}

    async def fail(self, state: StageState) -> dict[str, Any]:
        """End the stage without merging anything. Its worktree stays, for whoever wants to see the work."""
        outcome = self._outcome(state, "fail", commit=None, files=[])
        await give_back(self.stage, state)
        await self.stage.events(
            state, await snapshot(self.stage, state, outcome), self._ended(state, outcome)
        )
        return {"results": {self.stage.team.id: outcome}}

    async def _repaired(self, state: StageState) -> dict[str, Any]:
        """A repair is merged with the rest of its conflict, not here."""
        tree = await self.stage.tree(state)
        outcome = self._outcome(state, "pass", commit=state["head"], files=await tree.changed())
        await self.stage.events(
            state, await snapshot(self.stage, state, outcome), self._ended(state, outcome)
        )
        return {"results": {self.stage.team.id: outcome}, "verdict": "pass"}

    async def _conflict(self, state: StageState, conflicts: list[str]) -> dict[str, Any]:
        reasons = tuple(f"another stage changed the same lines of {path}" for path in conflicts)
        if state["rebases"] >= self.stage.team.limits.repairs:
            await self._ruled(state, Ruling("escalate", reasons), suffix="/conflict")
            return {"verdict": "escalate", "reasons": list(reasons), "conflicts": conflicts}
        rebased, places = await self._rebased(state)
        ruling = Ruling("retry", (*reasons, BOTH if places else AFRESH))
        await self._ruled(state, ruling, suffix="/conflict")
        return {**self._again(state, ruling, places), **rebased}

    async def _guided(self, state: StageState, ruling: Ruling) -> dict[str, Any]:
        """Another attempt with a person's guidance; after a conflict on top of what the others merged."""
        afresh: dict[str, Any] = {}
        places: Places = {}
        if state["conflicts"]:
            afresh, places = await self._rebased(state)
            ruling = Ruling("retry", (*ruling.reasons, BOTH if places else AFRESH))
        await self._ruled(state, ruling, suffix="/person")
        return {**self._again(state, ruling, places), **afresh}

    async def _rebased(self, state: StageState) -> tuple[dict[str, Any], Places]:
        """A new worktree: the run's branch as it is now, the stage's work, and the conflict laid out.

        Where a conflict is none of text, the worktree is the branch alone, and there are no places to show.
        """
        number = state["rebases"] + 1
        name = rebased(self.stage.key(state), number)[-1]
        tree = await self.stage.services.tree(state["run_id"], name)
        update: dict[str, Any] = {
            "tree": name,
            "head": tree.base,
            "rebases": number,
            "marked": [],
            "marks": [],
        }
        repository = await self.stage.repository(state)
        meeting = await repository.meet(tree.base, state["head"])
        paths = [conflict.path for conflict in meeting.conflicts]
        laid = await repository.lay_out(meeting, paths, parent=tree.base)
        if laid.refused:
            return update, {}
        marks = [meeting.standing, meeting.yours]
        return {**update, "head": laid.commit, "marked": paths, "marks": marks}, laid.places

    def _again(self, state: StageState, ruling: Ruling, places: Places | None = None) -> dict[str, Any]:
        """A further attempt: the team is told what was found, and its loop starts counting anew."""
        team = self.stage.team
        text = prompts.feedback(ruling.reasons, team=team, operative=team.author, conflict=places)
        key = f"{self.stage.key(state)}/feedback/{state['attempt']}"
        # A call without a result is one that strict models refuse to go on from.
        unheard = [
            ToolMessage("refused: not put, see below", tool_call_id=asked["call_id"], name=CLARIFY)
            for asked in state["pending"]
            if asked["call_id"]
        ]
        return {
            "verdict": "retry",
            "reasons": list(ruling.reasons),
            "messages": [*unheard, lasting(text, key)],
            "attempt": state["attempt"] + 1,
            "iterations": 0,
            "reviews": 0,
            "pending": [],
            "trace": [],
            "exhausted": "",
            "result": {},
        }

    async def _ruled(self, state: StageState, ruling: Ruling, suffix: str = "") -> Ruling:
        """Write the ruling down. What counts is what the log says: a node that runs again rules as before."""
        payload: JsonObject = {
            "verdict": ruling.verdict,
            "reasons": list(ruling.reasons),
            "attempt": state["attempt"],
        }
        stage = self.stage
        told = await stage.event(state, "gate.decided", payload, f"gate/{attempt_key(state)}{suffix}")
        recorded: dict[str, Any] = told.payload
        ruled = Ruling(recorded["verdict"], tuple(recorded["reasons"]))
        await scoring.gate(stage, state, ruled, key=f"gate/{attempt_key(state)}{suffix}")
        return ruled

    def _outcome(
        self, state: StageState, verdict: Any, *, commit: str | None, files: list[str]
    ) -> StageOutcome:
        result = TaskResult.model_validate(state["result"]) if state.get("result") else None
        return {
            "team": self.stage.team.id,
            "round": state["round"],
            "verdict": verdict,
            "attempts": state["attempt"],
            "commit": commit,
            "files": files,
            "facts": list(result.verified_facts) if result else [],
            "assumptions": list(result.assumptions_made) if result else [],
            "confidence": result.confidence if result else 0,
            "reason": "; ".join(state.get("reasons", [])),
        }

    def _ended(self, state: StageState, outcome: StageOutcome) -> Entry:
        payload: JsonObject = {
            "verdict": outcome["verdict"],
            "attempts": outcome["attempts"],
            "round": outcome["round"],
            "confidence": outcome["confidence"],
            "reason": outcome["reason"],
        }
        kind = "repair.ended" if state.get("repair") else "stage.ended"
        return self.stage.entry(state, kind, payload, "ended")


def rebased(stage: str, times: int) -> list[str]:
    """The names of a stage's worktrees, in order, when it was begun afresh so many times."""
    return [stage, *(f"{stage}.rebased{number}" for number in range(1, times + 1))]


def offered(number: int, *, conflict: bool) -> tuple[Decision, ...]:
    """What a person may decide the `number`th time that a stage cannot go on.

    Guidance while another attempt is left; the work as it is, but not against a conflict, where accepting it
    would not merge it; and always to stop.
    """
    guidance: tuple[Decision, ...] = ("respond",) if number < MOST_ESCALATIONS else ()
    return (*guidance, "reject") if conflict else (*guidance, "approve", "reject")


def after_gate(state: StageState) -> str:
    """The node that the verdict names."""
    return {"pass": "retain", "retry": "work", "clarify": "clarify", "escalate": "escalate", "fail": "fail"}[
        state["verdict"]
    ]


def after_retain(state: StageState) -> str:
    """On to the end, unless the merge met a conflict."""
    return {"retry": "work", "escalate": "escalate"}.get(state["verdict"], "close")
