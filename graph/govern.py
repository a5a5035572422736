"""`govern`: what is asked is assessed before anything runs; a HIGH risk waits for a person."""

# pyright: reportUnknownMemberType=false
# (LangGraph's own StateGraph has unknown types in its signatures.)

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from governance.risk import assess
from graph import people
from graph.lifecycle import move
from graph.nodes import choice, node
from graph.services import Services
from graph.state import RunState


@dataclass(frozen=True)
class Govern:
    """The nodes of the governance analysis."""

    services: Services

    async def assess(self, state: RunState) -> dict[str, Any]:
        """Classify the requirement by the policy: forbidden ends here, HIGH waits for a person."""
        services, run_id = self.services, state["run_id"]
        await move(services.db, services.events, run_id, "governance_analysis", key="govern/analysis")
        assessment = assess(state["requirement"], services.policy)
        await services.events.append(
            run_id,
            "governance.assessed",
            {"risk": assessment.risk, "reasons": list(assessment.reasons), "rules": list(assessment.rules)},
            key="govern/assessed",
        )
        if assessment.forbidden:
            return await self._rejected(run_id, "; ".join(assessment.reasons) or "forbidden by the policy")
        if not services.policy.asks(assessment.risk):
            await move(services.db, services.events, run_id, "approved", key="govern/approved")
            return {}
        reasons = "\n".join(f"- {reason}" for reason in assessment.reasons)
        approval = await services.approvals.request(
            run_id,
            kind="approval",
            key="govern/approval",
            risk=assessment.risk,
            title=f"A requirement of {assessment.risk} risk",
            question=f"By the policy this is of {assessment.risk} risk:\n{reasons}\nMay it be worked on?",
            allowed=("approve", "reject"),
            detail={"reasons": list(assessment.reasons), "rules": list(assessment.rules)},
        )
        await move(services.db, services.events, run_id, "awaiting_approval", key="govern/awaiting")
        return {"question": people.question(approval)}

    async def heard(self, state: RunState) -> dict[str, Any]:
        """Go on, or end as rejected; a rejection is final."""
        services = self.services
        answer = await people.settle(services, state)
        if answer is None:
            return {}
        if answer["decision"] == "approve":
            await move(services.db, services.events, state["run_id"], "approved", key="govern/approved")
            return {"question": people.NOBODY_ASKED}
        return await people.turn_down(
            services,
            state,
            answer,
            key="govern/rejected",
            late="nobody answered in time",
            refused="refused",
        )

    async def _rejected(self, run_id: str, reason: str) -> dict[str, Any]:
        await move(
            self.services.db, self.services.events, run_id, "rejected", key="govern/rejected", failure=reason
        )
        return {"halted": f"rejected: {reason}"}


def build_govern(services: Services) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the subgraph."""
    nodes = Govern(services)
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(RunState)
    graph.add_node("assess", node("assess", nodes.assess))
    graph.add_node("ask_person", node("ask_person", people.ask))
    graph.add_node("heard", node("heard", nodes.heard))
    graph.add_edge(START, "assess")
    graph.add_conditional_edges("assess", choice(people.if_asked), ["ask_person", END])
    graph.add_edge("ask_person", "heard")
    graph.add_conditional_edges("heard", choice(people.if_asked), ["ask_person", END])
    return graph.compile(name="govern")
