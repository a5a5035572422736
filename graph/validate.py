"""`validate`: the merged whole is checked once more, by the same checks, before a person is asked to look."""

# pyright: reportUnknownMemberType=false
# (LangGraph's own StateGraph has unknown types in its signatures.)

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from core.json import JsonObject
from graph import people
from graph.again import again
from graph.attaching import attach
from graph.check_report import CheckSummary, summary_of
from graph.checking import against, as_recorded, check_whole, payload
from graph.dag import Pipeline
from graph.lifecycle import move
from graph.mailing import ATTACHED
from graph.nodes import choice, node
from graph.rounds import next_round, passage
from graph.services import Services
from graph.state import RunState
from workspace.checks import CheckResult


@dataclass(frozen=True)
class Validate:
    """The nodes of the validation."""

    services: Services
    pipeline: Pipeline

    async def check(self, state: RunState) -> dict[str, Any]:
        """Stop if a stage failed; else check the branch, and ask a person if a check speaks against it."""
        services, run_id = self.services, state["run_id"]
        if state.get("halted"):
            return {}
        broken = [o for o in state.get("results", {}).values() if o["verdict"] == "fail"]
        if broken:
            reason = "; ".join(f"{outcome['team']}: {outcome['reason']}" for outcome in broken)
            await move(
                services.db,
                services.events,
                run_id,
                "failed",
                key=f"validate/failed{again(state)}",
                failure=reason,
            )
            return {"halted": f"failed: {reason}"}
        name = passage("validate", state)
        await move(services.db, services.events, run_id, "validating", key=f"{name}/validating")
        repository = await services.repository(run_id)
        head = await repository.run_head(run_id)
        tree = await services.tree(run_id, name, base=head)
        await tree.restore(head)
        recorded: list[CheckResult] = []
        seen: list[CheckSummary] = []
        for check in await check_whole(services, run_id, self._needed(state), tree, head):
            told = await payload(services, run_id, name, check)
            event = await services.events.append(run_id, "check.ran", told, key=f"{name}/{check.name}")
            recorded.append(as_recorded(check, event))
            seen.append(summary_of(event))
        supply = await services.supply(run_id, tree)
        speaks_against = [refusal.sentence for refusal in supply.refused]
        speaks_against += against(recorded, self._needed(state))
        speaks_against += await self._against_change(state, head, recorded)
        if not speaks_against:
            await repository.close_stage(tree)
            if state.get("review_stands"):
                await move(services.db, services.events, run_id, "deployable", key=f"{name}/deployable")
            return {"sent_back": False, "checked": head, "unseen": False}
        detail: JsonObject = {
            "reasons": list(speaks_against),
            "commit": head,
            ATTACHED: list(await attach(services, run_id, seen)),
        }
        another = state["round"] < self.pipeline.max_rounds
        approval = await services.approvals.request(
            run_id,
            kind="escalation",
            key=f"{name}/escalation",
            risk="MEDIUM",
            title="The merged project does not pass its checks",
            question=(
                "The merged project does not pass its checks:\n"
                + "\n".join(f"- {reason}" for reason in speaks_against)
                + ("\nRespond with a comment to send it round again, a" if another else "\nA")
                + "pprove to go on to the review as it is, or reject to stop the run."
            ),
            allowed=("respond", "approve", "reject") if another else ("approve", "reject"),
            detail=detail,
        )
        await (await services.mail(run_id)).asked(approval)
        # Who approved did not know this: the review is asked again.
        return {
            "question": people.question(approval),
            "sent_back": False,
            "review_stands": False,
            "checked": head,
            "unseen": False,
        }

    def _needed(self, state: RunState) -> list[str]:
        """Every check that a team of this run answers for."""
        teams = [team for team in self.pipeline.teams if team not in state.get("skipped", {})]
        tested = {"tests"} if (state.get("change") or {}).get("tests") else set[str]()
        return sorted(
            {check for team in teams for check in self.services.registry.team(team).checks} | tested
        )

    async def _against_change(self, state: RunState, head: str, checks: Sequence[CheckResult]) -> list[str]:
        """What speaks against a change beside its checks: that it is none, or that tests have gone."""
        change = state.get("change")
        if not change:
            return []
        repository = await self.services.repository(state["run_id"])
        base = await self.services.base_of(state["run_id"]) or head
        against: list[str] = []
        if await repository.same_product(base, head):
            against.append("nothing was changed")
        now = next((check.summary for check in checks if check.name == "tests"), "")
        before = change.get("tests", "")
        if before and now and passing(now) < passing(before):
            against.append(f"fewer tests pass than before the change: {now}; before: {before}")
        return against

    async def heard(self, state: RunState) -> dict[str, Any]:
        """Go on to the review, send the run round again, or stop."""
        services = self.services
        answer = await people.settle(services, state)
        if answer is None:
            return {}
        done = {"question": people.NOBODY_ASKED}
        if answer["decision"] == "approve":
            return done
        if answer["decision"] in {"respond", "edit"}:
            return {**done, **await next_round(services, state, answer["text"])}
        reason = f"the checks of the merged project failed, stopped by {answer['by'] or 'nobody in time'}"
        await move(
            services.db,
            services.events,
            state["run_id"],
            "failed",
            key=f"validate/failed{again(state)}",
            failure=reason,
        )
        return {**done, "halted": f"failed: {reason}"}


def passing(summary: str) -> int:
    """How many tests pass, by the summary of the check `tests`."""
    found = re.match(r"(\d+) passed", summary)
    return int(found[1]) if found else 0


def build_validate(services: Services, pipeline: Pipeline) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the subgraph."""
    nodes = Validate(services, pipeline)
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(RunState)
    graph.add_node("check", node("check", nodes.check))
    graph.add_node("ask_person", node("ask_person", people.ask))
    graph.add_node("heard", node("heard", nodes.heard))
    graph.add_edge(START, "check")
    graph.add_conditional_edges("check", choice(people.if_asked), ["ask_person", END])
    graph.add_edge("ask_person", "heard")
    graph.add_conditional_edges("heard", choice(people.if_asked), ["ask_person", END])
    return graph.compile(name="validate")
