"""`plan`: which of the pipeline's teams this requirement needs, and why each other one is skipped."""

# pyright: reportUnknownMemberType=false
# (LangGraph's own StateGraph has unknown types in its signatures.)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from core import faults
from core.json import JsonObject
from graph import paying, people
from graph.dag import Pipeline
from graph.lifecycle import move
from graph.nodes import choice, node
from graph.pauses import after_pauses
from graph.paying import paid
from graph.services import Services
from graph.stage_context import called_payload, failed_payload
from graph.state import Change, RunState, StageOutcome
from graph.survey import survey
from models.calls import Call
from models.errors import ModelFailure
from models.following import first_reply
from teams import prompts
from teams.contract import ResultInvalid
from teams.replies import parse_plan, plan_schema
from teams.team import Team

ALIAS = "factory/architect"


@dataclass(frozen=True)
class Planner:
    """The node that plans."""

    services: Services
    pipeline: Pipeline

    async def plan(self, state: RunState) -> dict[str, Any]:
        """Ask a model which teams to leave out; the rules below have the last word."""
        services, run_id = self.services, state["run_id"]
        await move(services.db, services.events, run_id, "planning", key="plan/planning")
        teams = [services.registry.team(team) for team in self.pipeline.teams]
        change, candidates, notes = state.get("change"), teams, list[str]()
        untouched: dict[str, str] = {}
        if change is not None:
            surveyed = await survey(services, run_id, state["requirement"], change, teams)
            change, candidates = surveyed.change, list(surveyed.concerned)
            untouched, notes = surveyed.skipped, list(surveyed.notes)
        title, wanted, note = await self._ask(state, candidates)
        skipped, refused = allowed_skips(wanted, candidates)
        skipped = {team.id: reason for team in teams if (reason := (untouched | skipped).get(team.id))}
        notes += [note, *refused] if note else refused
        told = await services.events.append(
            run_id,
            "plan.decided",
            {
                "title": title,
                "pipeline": self.pipeline.name,
                "stages": [team.id for team in teams if team.id not in skipped],
                "teams": [team.id for team in teams],
                "names": {team.id: team.name for team in teams},
                "waves": {stage.team: stage.wave for stage in self.pipeline.stages},
                "skipped": dict(skipped),
                "notes": list(notes),
                **({"change": of_change(change)} if change else {}),
            },
            key="plan/decided",
        )
        # What counts is what the log says: when this node runs again, the model may plan otherwise.
        decided: dict[str, Any] = told.payload
        title, skipped = str(decided["title"]), dict[str, str](decided["skipped"])
        for team, reason in skipped.items():
            await services.events.append(
                run_id, "stage.skipped", {"reason": reason}, team=team, key=f"plan/skipped/{team}"
            )
        faults.point("plan.decided")
        repository = await services.repository(run_id)
        base = await repository.begin_run(run_id)
        await services.runs.set_branch(run_id, f"factory/{run_id}", base)
        await move(services.db, services.events, run_id, "in_progress", key="plan/in_progress")
        return {
            "title": title,
            "change": change,
            "skipped": skipped,
            "results": {team: _skipped(team, reason) for team, reason in skipped.items()},
        }

    async def _ask(self, state: RunState, teams: Sequence[Team]) -> tuple[str, list[tuple[str, str]], str]:
        """(title, [(team, reason)], a note when the planner was of no use). Then every team runs: doing too
        much is safe, leaving a team out on a guess is not."""
        services = self.services
        turns: list[BaseMessage] = [
            prompts.planner(),
            HumanMessage(
                prompts.plan(
                    teams,
                    requirement=state["requirement"],
                    objective=f"{state['run_id']}/plan/1",
                    change=bool(state.get("change")),
                )
            ),
        ]
        problem = ""
        for turn in (1, 2):
            call = Call(state["run_id"], "factory", "planner", "plan", f"plan/{turn}{after_pauses(state)}")
            try:
                models = await services.models_for(state["run_id"], None)
                call, reply = await first_reply(
                    models, ALIAS, turns, call=call, failed=self._failed, schema=plan_schema()
                )
            except ModelFailure as failure:
                return (
                    fallback_title(state["requirement"]),
                    [],
                    f"every team runs: the planner did not answer ({failure})",
                )
            await services.events.append(
                state["run_id"], "model.called", called_payload(call, reply), key=f"{call.key}/called"
            )
            try:
                plan = parse_plan(reply.text)
            except ResultInvalid as invalid:
                problem = str(invalid)
                turns += [AIMessage(reply.text), HumanMessage(prompts.repair_plan(invalid.errors))]
                continue
            return plan.title.strip() or fallback_title(state["requirement"]), list(plan.skip), ""
        return fallback_title(state["requirement"]), [], f"every team runs: the plan was unusable ({problem})"

    async def _failed(self, call: Call, failure: ModelFailure) -> None:
        await self.services.events.append(
            call.run_id, "model.failed", failed_payload(call, failure), key=f"{call.key}/failed"
        )

    async def heard(self, state: RunState) -> dict[str, Any]:
        """Plan again with what a person added to a budget, or end."""
        decided = await paying.heard(self.services, state)
        if decided is None:
            return {}
        goes_on, why = decided
        if goes_on:
            return {"question": people.NOBODY_ASKED}
        services, run_id = self.services, state["run_id"]
        await move(services.db, services.events, run_id, "failed", key="plan/failed", failure=why)
        return {"question": people.NOBODY_ASKED, "halted": f"failed: {why}"}


def build_plan(services: Services, pipeline: Pipeline) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the subgraph."""
    planner = Planner(services, pipeline)
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(RunState)
    graph.add_node("plan", node("plan", paid(services, "plan", planner.plan)))
    graph.add_node("ask_person", node("ask_person", people.ask))
    graph.add_node("heard", node("heard", planner.heard))
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", choice(people.if_asked), ["ask_person", END])
    graph.add_edge("ask_person", "heard")
    graph.add_conditional_edges("heard", choice(_after_heard), ["ask_person", "plan", END])
    return graph.compile(name="plan")


def _after_heard(state: RunState) -> str:
    if people.waits(state):
        return "ask_person"
    return END if state.get("halted") else "plan"


def allowed_skips(
    wanted: Sequence[tuple[str, str]], teams: Sequence[Team]
) -> tuple[dict[str, str], list[str]]:
    """What may be left out of what a planner wants to leave out, and a note for each wish not granted."""
    by_id = {team.id: team for team in teams}
    skipped: dict[str, str] = {}
    notes: list[str] = []
    for team, reason in wanted:
        if team not in by_id:
            notes.append(f"no team {team!r} in this pipeline")
        elif by_id[team].required:
            notes.append(f"{team} is required and runs")
        elif not reason.strip():
            notes.append(f"{team} runs: no reason was given to skip it")
        else:
            skipped[team] = reason.strip()
    return skipped, notes


def of_change(change: Change) -> JsonObject:
    """What the log keeps of a change's plan."""
    return {
        "of": change["of"],
        "criteria": list(change.get("criteria", ())),
        "tests": change.get("tests", ""),
        "adopted": {team: list(paths) for team, paths in change.get("adopted", {}).items()},
    }


def fallback_title(requirement: str) -> str:
    """A title without a model: the requirement's first line, cut at a word."""
    line = next((line.strip(" #*-") for line in requirement.splitlines() if line.strip(" #*-")), "Untitled")
    return line if len(line) <= 60 else line[:60].rsplit(" ", 1)[0] + " …"


def _skipped(team: str, reason: str) -> StageOutcome:
    return {
        "team": team,
        "round": 1,
        "verdict": "skipped",
        "attempts": 0,
        "commit": None,
        "files": [],
        "facts": [],
        "assumptions": [],
        "confidence": 0,
        "reason": reason,
    }
