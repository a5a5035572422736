"""The pipeline as a LangGraph graph: `govern → plan → [stages as a DAG] → validate → review → release`.

Where main moved meanwhile: `release → reconcile → validate`, and `review` again unless the merge was clean.
"""

# pyright: reportUnknownMemberType=false
# (LangGraph's own StateGraph has unknown types in its signatures.)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from graph.dag import Pipeline
from graph.govern import build_govern
from graph.nodes import Node, choice, node
from graph.planning import build_plan
from graph.reconcile import build_reconcile
from graph.release import build_release
from graph.review import build_review
from graph.services import Services
from graph.stage import build_stage
from graph.stage_context import StageContext
from graph.state import Change, RunState, Submission
from graph.validate import build_validate


def first_input(run_id: str, requirement: str, change: Change | None = None) -> RunState:
    """The state in which a run starts."""
    return {
        "run_id": run_id,
        "requirement": requirement,
        "change": change,
        "round": 1,
        "comment": "",
        "skipped": {},
        "results": {},
        "halted": "",
    }


def build_pipeline(
    services: Services,
    pipeline: Pipeline,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    admit: Node[RunState] | None = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the graph of a pipeline; stages that do not wait for each other run side by side.

    `admit` is a node before all others, for a door through which requirements come without a run's record.
    """
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(RunState, input_schema=Submission if admit else None)
    graph.add_node("govern", build_govern(services))
    graph.add_node("plan", build_plan(services, pipeline))
    for stage in pipeline.stages:
        team = services.registry.team(stage.team)
        graph.add_node(stage.team, build_stage(StageContext(services, team, pipeline.teams)))
    graph.add_node("validate", build_validate(services, pipeline))
    graph.add_node("review", build_review(services, pipeline))
    graph.add_node("release", build_release(services))
    graph.add_node("reconcile", build_reconcile(services, pipeline))

    if admit is None:
        graph.add_edge(START, "govern")
    else:
        graph.add_node("admit", node("admit", admit))
        graph.add_edge(START, "admit")
        graph.add_edge("admit", "govern")
    graph.add_conditional_edges("govern", choice(_after("plan", pipeline)), ["plan", END])
    for stage in pipeline.stages:
        # A join fires when every need has ended. A stage and its needs are never in one superstep: waves
        # are longest paths.
        graph.add_edge(_all_of(stage.needs or ("plan",)), stage.team)
    graph.add_edge(_all_of(pipeline.sinks), "validate")
    onward = ["review", "release", pipeline.returns_to, END]
    graph.add_conditional_edges("validate", choice(_after("review", pipeline)), onward)
    graph.add_conditional_edges(
        "review", choice(_after("release", pipeline)), ["release", pipeline.returns_to, END]
    )
    graph.add_conditional_edges("release", choice(_after_release), ["reconcile", "validate", END])
    graph.add_conditional_edges("reconcile", choice(_after_reconcile), ["validate", END])
    return graph.compile(checkpointer=checkpointer, name=pipeline.name)


def _all_of(nodes: Sequence[str]) -> str | list[str]:
    """Where an edge starts. One node is no join: `langgraph dev` shows no state that waits behind a join."""
    return nodes[0] if len(nodes) == 1 else list(nodes)


def _after(onward: str, pipeline: Pipeline) -> Any:
    def route(state: RunState) -> str:
        if state.get("halted"):
            return END
        if state.get("sent_back"):
            return pipeline.returns_to
        return "release" if onward == "review" and state.get("review_stands") else onward

    return route


def _after_release(state: RunState) -> str:
    """Where main or the branch has what nobody looked at, that comes first: what is released was checked."""
    if state.get("halted"):
        return END
    if state.get("unseen"):
        return "validate"
    return "reconcile" if state.get("behind") else END


def _after_reconcile(state: RunState) -> str:
    return END if state.get("halted") else "validate"
