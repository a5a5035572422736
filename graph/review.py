"""`review` is a person's: approve and it is released, comment and it goes round again, reject and it ends."""

# pyright: reportUnknownMemberType=false
# (LangGraph's own StateGraph has unknown types in its signatures.)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from core.json import JsonObject
from graph import check_report, people, scoring
from graph.again import again
from graph.attaching import attach
from graph.dag import Pipeline
from graph.lifecycle import move
from graph.mailing import ATTACHED
from graph.nodes import choice, node
from graph.progress import Progress
from graph.rounds import next_round, passage
from graph.services import Services
from graph.state import Change, RunState
from teams.output import clean, shortened

MOST_DIFF_CHARS: Final = 60_000
"""Characters of the change that the question itself carries; `factory diff` shows all."""
MOST_STAT_LINES: Final = 30


@dataclass(frozen=True)
class Review:
    """The nodes of the review."""

    services: Services
    pipeline: Pipeline

    async def present(self, state: RunState) -> dict[str, Any]:
        """Put the whole change before a person."""
        services, run_id = self.services, state["run_id"]
        run = await services.run(run_id)
        repository = await services.repository(run_id)
        head = state.get("checked") or await repository.run_head(run_id)
        base = state.get("taken_in") or run.base_commit or head
        stat = await repository.diff(base, head, stat=True)
        repaired = state.get("repaired", [])
        another = state["round"] < self.pipeline.max_rounds
        # The log has the events of every stage; the checks of the whole are few among them.
        told = await services.events.read(run_id, kinds=["check.ran"])
        checks = list(Progress.of(told).checks.values())
        detail: JsonObject = {
            "branch": f"factory/{run_id}",
            "commit": head,
            "base": base,
            "repository": str(repository.path),
            "stat": stat,
            "diff": shortened(clean(await repository.diff(base, head)), MOST_DIFF_CHARS),
            "round": state["round"],
            "score": check_report.score_of(checks).points,
            "not_run": check_report.not_run(checks),
            "repaired": list(repaired),
            ATTACHED: list(await attach(self.services, run_id, checks)),
        }
        summary = stat.strip().splitlines()[-1].strip() if stat.strip() else "nothing changed"
        approval = await services.approvals.request(
            run_id,
            kind="review",
            key=passage("review", state).replace(".", "/", 1),
            title=f"Review: {state.get('title') or 'the result'}",
            question=(
                f"Every stage has ended; {summary}.\n"
                + (_changed(stat, change) if (change := state.get("change")) else "")
                + (_after_repair(repaired, base) if repaired else "")
                + f"All of it:\n  factory diff {run_id}\nor in git:"
                + people.by_hand(repository.path, f"diff {base[:12]} factory/{run_id}")
                + f"\n{check_report.in_short(checks)}\n"
                + (
                    "Approve to release it, respond with a comment to have it changed"
                    if another
                    else "Approve to release it"
                )
                + ", or reject it."
            ),
            allowed=("approve", "respond", "reject") if another else ("approve", "reject"),
            detail=detail,
        )
        await (await services.mail(run_id)).asked(approval)
        return {"question": people.question(approval)}

    async def heard(self, state: RunState) -> dict[str, Any]:
        """Release, go round again, or end."""
        services, run_id = self.services, state["run_id"]
        answer = await people.settle(services, state)
        if answer is None:
            return {}
        await scoring.review(services, run_id, answer, key=passage("review", state))
        done = {"question": people.NOBODY_ASKED}
        if answer["decision"] == "approve":
            key = passage("review", state).replace(".", "/", 1)
            await move(services.db, services.events, run_id, "deployable", key=f"{key}/deployable")
            return {**done, "repaired": []}
        if answer["decision"] in {"respond", "edit"}:
            return {**done, **await next_round(services, state, answer["text"])}
        return await people.turn_down(
            services,
            state,
            answer,
            key=f"review/rejected{again(state)}",
            late="the review expired",
            refused="refused in review",
        )


def _changed(stat: str, change: Change) -> str:
    """What a reviewer of a change sees first: its files, and how the tests stood before."""
    lines = stat.strip().splitlines()
    shown = lines if len(lines) <= MOST_STAT_LINES else [*lines[: MOST_STAT_LINES - 2], " …", lines[-1]]
    tests = change.get("tests") or "they did not all pass"
    return "\n".join([*shown, f"The tests before the change: {tests}."]) + "\n"


def _after_repair(files: Sequence[str], main: str) -> str:
    return (
        f"Another change of the same lines came to main first (commit {main[:12]}). It was taken in, and "
        f"teams made one of both in {', '.join(files)}: an approval given before does not cover that.\n"
    )


def build_review(services: Services, pipeline: Pipeline) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the subgraph."""
    nodes = Review(services, pipeline)
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(RunState)
    graph.add_node("present", node("present", nodes.present))
    graph.add_node("ask_person", node("ask_person", people.ask))
    graph.add_node("heard", node("heard", nodes.heard))
    graph.add_edge(START, "present")
    graph.add_edge("present", "ask_person")
    graph.add_edge("ask_person", "heard")
    graph.add_conditional_edges("heard", choice(people.if_asked), ["ask_person", END])
    return graph.compile(name="review")
