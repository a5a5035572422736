"""A team's stage as a LangGraph subgraph: `brief → work ⇄ act → peer_review → report → gate → retain`.

From the gate also `clarify`, `escalate`, another attempt, or `fail`. This module only wires; the nodes are
elsewhere.
"""

# pyright: reportUnknownMemberType=false
# (LangGraph's own StateGraph has unknown types in its signatures.)

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from core import clock
from graph import loops, paying, people
from graph.clarification import Clarify, after_clarify
from graph.leasing import leased
from graph.nodes import Node, choice, node
from graph.paying import BUDGET, paid
from graph.provision import DEPENDENCY, Provision, after_provision
from graph.report import Report
from graph.stage_context import StageContext
from graph.state import StageInput, StageOutput, StageState
from graph.verdict import Verdicts, after_gate, after_retain
from graph.work import Work, after_work


def build_stage(stage: StageContext) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the subgraph of one team."""
    work, report, clarify, verdicts = Work(stage), Report(stage), Clarify(stage), Verdicts(stage)
    provision = Provision(stage)
    held = partial(leased, stage)
    spends = partial(paid, stage.services)
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(
        StageState, input_schema=StageInput, output_schema=StageOutput
    )
    graph.add_node("brief", node("brief", held(work.brief)))
    graph.add_node("work", node("work", timed(held(spends("work", work.work)))))
    graph.add_node("act", node("act", timed(held(work.act))))
    graph.add_node("peer_review", node("peer_review", timed(held(spends("peer_review", work.peer_review)))))
    graph.add_node("report", node("report", timed(held(spends("report", report.report)))))
    graph.add_node("gate", node("gate", timed(held(verdicts.gate))))
    graph.add_node("clarify", node("clarify", timed(held(spends("clarify", clarify.clarify)))))
    graph.add_node("provide", node("provide", timed(provision.provide)))
    graph.add_node("ask_person", node("ask_person", people.ask))
    graph.add_node("heard", node("heard", _heard(stage, clarify, provision, verdicts)))
    graph.add_node("escalate", node("escalate", verdicts.escalate))
    graph.add_node("retain", node("retain", held(verdicts.retain)))
    graph.add_node("close", node("close", verdicts.close))
    graph.add_node("fail", node("fail", verdicts.fail))

    def on_entry(state: StageState) -> str:
        runs = stage.team.id not in state.get("skipped", {}) and not halted(state)
        return "brief" if runs else END

    def after_brief_work(state: StageState) -> str:
        target = after_work(state)
        if target == "peer_review" and not reviews_left(stage, state):
            return "report"
        return target

    graph.add_conditional_edges(START, choice(on_entry), ["brief", END])
    graph.add_conditional_edges("brief", choice(_after_brief), ["provide", "work"])
    graph.add_conditional_edges(
        "work",
        choice(_unless_asked(after_brief_work)),
        ["ask_person", "act", "work", "peer_review", "report", "gate"],
    )
    graph.add_conditional_edges("act", choice(_after_act), ["provide", "clarify", "work", "gate"])
    graph.add_conditional_edges("provide", choice(after_provision), ["ask_person", "clarify", "work"])
    graph.add_conditional_edges(
        "peer_review", choice(_unless_asked(_after_review)), ["ask_person", "work", "report"]
    )
    graph.add_conditional_edges("report", choice(_unless_asked(_after_report)), ["ask_person", "gate"])
    graph.add_conditional_edges("gate", choice(after_gate), ["retain", "work", "clarify", "escalate", "fail"])
    graph.add_conditional_edges("clarify", choice(after_clarify), ["ask_person", "clarify", "work"])
    graph.add_edge("escalate", "ask_person")
    graph.add_edge("ask_person", "heard")
    graph.add_conditional_edges(
        "heard",
        choice(_after_heard),
        ["ask_person", "provide", "clarify", "work", "peer_review", "report", "retain", "fail"],
    )
    graph.add_conditional_edges("retain", choice(after_retain), ["work", "escalate", "close"])
    graph.add_edge("close", END)
    graph.add_edge("fail", END)
    return graph.compile(name=stage.team.id)


def timed(function: Node[StageState]) -> Node[StageState]:
    """Count what a node takes against the stage's minutes."""

    @wraps(function)
    async def measured(state: StageState) -> dict[str, Any]:
        since = clock.monotonic()
        update = await function(state)
        return {"worked": state["worked"] + clock.monotonic() - since, **update}

    return measured


def halted(state: StageState) -> bool:
    """Whether the run has stopped, or a stage of this round has failed: then later stages do not start."""
    if state.get("halted"):
        return True
    return any(
        outcome["verdict"] == "fail" and outcome["round"] == state["round"]
        for outcome in state.get("results", {}).values()
    )


def reviews_left(stage: StageContext, state: StageState) -> bool:
    """Whether the team has a reviewer who may still send the work back in this attempt."""
    return stage.team.reviewer is not None and state["reviews"] < stage.team.limits.reviews


def _after_act(state: StageState) -> str:
    if loops.detect(state["trace"]):
        return "gate"
    if state.get("unsupplied"):
        return "provide"
    return "clarify" if state["pending"] else "work"


def _after_brief(state: StageState) -> str:
    return "provide" if state.get("unsupplied") else "work"


def _unless_asked(onward: Callable[[StageState], str]) -> Callable[[StageState], str]:
    """`onward`, or to a person where there was no budget for what the node had to ask a model."""

    def after(state: StageState) -> str:
        return "ask_person" if people.waits(state) else onward(state)

    return after


def _after_report(state: StageState) -> str:
    return "gate"


def _after_review(state: StageState) -> str:
    return "work" if state["reasons"] else "report"


def _heard(stage: StageContext, clarify: Clarify, provision: Provision, verdicts: Verdicts) -> Any:
    async def heard(state: StageState) -> dict[str, Any]:
        """Hand a person's answer to the team that asked, or to the stage that could not go on."""
        if state["question"]["kind"] == "clarification":
            return {**await clarify.heard(state), "verdict": "clarify"}
        if state["question"]["kind"] == DEPENDENCY:
            return {**await provision.heard(state), "verdict": DEPENDENCY}
        if state["question"]["kind"] == BUDGET:
            decided = await paying.heard(stage.services, state)
            if decided is None:
                return {}
            goes_on, why = decided
            done = {"question": people.NOBODY_ASKED}
            return {**done, "verdict": BUDGET} if goes_on else {**done, **await verdicts.stopped(state, why)}
        return await verdicts.heard(state)

    return heard


def _after_heard(state: StageState) -> str:
    if people.waits(state):
        return "ask_person"
    if state["verdict"] == BUDGET:
        return state.get("refused_at", "work")
    if state["verdict"] == DEPENDENCY:
        return "provide"
    if state["verdict"] == "clarify":
        return "clarify" if state["pending"] else "work"
    return after_gate(state)
