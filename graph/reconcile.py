"""`reconcile`: main has moved since the run began, and what it got is taken in before the run is released.

A clean merge is made here and validated. A conflict is a bounded repair objective: for each of its files, of
the run's last team that touched it; then for a person. Nothing reaches main from here.
"""

# pyright: reportUnknownMemberType=false
# (LangGraph's own StateGraph has unknown types in its signatures.)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph.config import get_config
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from core.json import JsonObject
from graph import people
from graph.again import again
from graph.dag import Pipeline
from graph.lifecycle import move
from graph.nodes import choice, node
from graph.services import Services
from graph.stage import build_stage
from graph.stage_context import StageContext
from graph.state import Group, Merging, Repair, RunState, StageOutcome
from workspace.errors import BranchMoved
from workspace.reconciling import Meeting
from workspace.repository import Repository

_MOST_NAMED = 20


@dataclass(frozen=True)
class Reconcile:
    """The nodes that bring main and the run's branch together."""

    services: Services
    pipeline: Pipeline
    _stages: dict[str, CompiledStateGraph[Any, Any, Any, Any]] = field(
        default_factory=dict[str, CompiledStateGraph[Any, Any, Any, Any]]
    )

    async def look(self, state: RunState) -> dict[str, Any]:
        """How do main and the branch meet? Cleanly: merge. In the same lines: a team's, or a person's."""
        services, run_id = self.services, state["run_id"]
        number = state.get("meetings", 0) + 1
        repository = await services.repository(run_id)
        standing, supersedes = await repository.standing(run_id)
        now: JsonObject = {"main": standing, "head": await repository.run_head(run_id)}
        if supersedes:
            now["supersedes"] = True
        # What counts is what the log says: when this node runs again, both may have moved on.
        told = await services.events.append(
            run_id, "merge.needed", now, key=f"merge/{number}{again(state)}/needed"
        )
        meeting = await repository.meet(str(told.payload["main"]), str(told.payload["head"]))
        whole = meeting.yours if told.payload.get("supersedes") else None
        update: dict[str, Any] = {"meetings": number, "behind": False, "merging": None, "guidance": ""}
        if meeting.contained:
            # A person has merged it; what came of that nobody has looked at.
            by_hand = {"taken_in": meeting.standing, "taken_as": meeting.yours, "review_stands": False}
            return {**update, **by_hand}
        if whole or not meeting.conflicts:
            return {**update, **await self._take_in(state, meeting, number, whole=whole)}
        groups, unfit = await self._groups(run_id, repository, meeting)
        story = await self._story(run_id, repository, meeting)
        if unfit or (state.get("repairs", 0) >= self.pipeline.max_repairs and not state.get("guidance")):
            why = unfit or f"{self.pipeline.max_repairs} repairs in this run, the most allowed"
            return {**update, **await self._ask(state, number, meeting, story, why)}
        merging = Merging(
            standing=meeting.standing, yours=meeting.yours, groups=groups, done=0, commit="", story=story
        )
        payload: JsonObject = {
            "files": [conflict.path for conflict in meeting.conflicts],
            "teams": [group["team"] for group in groups],
            "main": meeting.standing,
            "head": meeting.yours,
        }
        await services.events.append(
            run_id, "merge.conflict", payload, key=f"merge/{number}{again(state)}/conflict"
        )
        await move(
            services.db,
            services.events,
            run_id,
            "in_progress",
            key=f"merge/{number}{again(state)}/in_progress",
        )
        repairs = state.get("repairs", 0) + 1
        return {
            **update,
            "merging": merging,
            "repairs": repairs,
            "review_stands": False,
            "guidance": state.get("guidance", ""),
        }

    async def repair(self, state: RunState) -> dict[str, Any]:
        """Let one team repair its files, in a stage like any other: same loop, same gate, same checks."""
        services, run_id, merging = self.services, state["run_id"], _merging(state)
        group = merging["groups"][merging["done"]]
        repair = await self._objective(state, merging, group)
        given = {
            **{name: state[name] for name in ("run_id", "requirement", "round", "skipped", "results")},
            "comment": state.get("guidance", ""),
            "title": state.get("title", ""),
            "change": state.get("change"),
            "rollbacks": state.get("rollbacks", 0),
            "halted": "",
            "repair": repair,
        }
        outcome: StageOutcome = (await self._stage(group["team"]).ainvoke(given, get_config()))["results"][
            group["team"]
        ]
        if outcome["verdict"] != "pass":
            repository = await services.repository(run_id)
            meeting = await repository.meet(merging["standing"], merging["yours"])
            why = f"{services.registry.team(group['team']).name} could not repair it: {outcome['reason']}"
            number = state.get("meetings", 0)
            return await self._ask(state, number, meeting, merging["story"], why)
        done = merging.copy()
        done["done"], done["commit"] = merging["done"] + 1, outcome["commit"] or ""
        return {"merging": done, "question": people.NOBODY_ASKED}

    async def settle(self, state: RunState) -> dict[str, Any]:
        """Make the repairs and main one merge commit on the run's branch."""
        merging = _merging(state)
        repository = await self.services.repository(state["run_id"])
        meeting = await repository.meet(merging["standing"], merging["yours"])
        return await self._take_in(state, meeting, state.get("meetings", 0), merging)

    async def heard(self, state: RunState) -> dict[str, Any]:
        """Try once more with a person's guidance, go on with what the person merged, or end."""
        services, run_id = self.services, state["run_id"]
        answer = await people.settle(services, state)
        if answer is None:
            return {}
        done: dict[str, Any] = {"question": people.NOBODY_ASKED, "merging": None}
        if answer["decision"] in {"respond", "edit"}:
            return {**done, "guidance": answer["text"]}
        if answer["decision"] == "approve":
            return {**done, "guidance": ""}
        by = "nobody answered in time" if answer["decision"] == "expired" else f"stopped by {answer['by']}"
        reason = f"not released, {by}: {answer['text']}".rstrip(": ")
        reason = f"{reason}. Main is as it was; the work is on the branch factory/{run_id}."
        await move(
            services.db, services.events, run_id, "failed", key=f"merge/failed{again(state)}", failure=reason
        )
        return {**done, "halted": f"failed: {reason}"}

    async def _take_in(
        self,
        state: RunState,
        meeting: Meeting,
        number: int,
        merging: Merging | None = None,
        *,
        whole: str | None = None,
    ) -> dict[str, Any]:
        services, run_id = self.services, state["run_id"]
        repository = await services.repository(run_id)
        try:
            commit = await repository.take_in(
                *(run_id, meeting),
                name=f"merge.{number}{again(state)}",
                tree_of=merging["commit"] if merging else whole,
                message=f"Take in main for {state.get('title') or run_id}",
            )
        except BranchMoved:
            return {"merging": None, "behind": True}  # look again
        files = [path for group in merging["groups"] for path in group["files"]] if merging else []
        payload: JsonObject = {"main": meeting.standing, "commit": commit, "repaired": list(files)}
        await services.events.append(
            run_id, "merge.taken_in", payload, key=f"merge/{number}{again(state)}/taken_in"
        )
        return {
            "merging": None,
            "guidance": "",
            "taken_in": meeting.standing,
            "taken_as": commit,
            "repaired": [*state.get("repaired", []), *files],
            # A clean merge of two things that were each looked at needs the checks, and no second look.
            "review_stands": (
                not files
                and not state.get("repaired")
                and await repository.same_product(meeting.yours, state.get("checked", meeting.yours))
            ),
        }

    async def _groups(self, run_id: str, repository: Repository, meeting: Meeting) -> tuple[list[Group], str]:
        """Whose files they are, in the order of the pipeline; or why no team can be given them."""
        paths = [conflict.path for conflict in meeting.conflicts]
        laid = await repository.lay_out(meeting, paths, parent=meeting.yours)
        if laid.refused:
            return [], f"{_named(laid.refused)} cannot be laid out as text"
        owners: dict[str, list[str]] = {}
        for path in paths:
            touched = await repository.trailers(meeting.standing, meeting.yours, path, "Factory-Team")
            known = [team for team in touched if team in self.pipeline.teams]
            if not known:
                return [], f"no team of this run has written {path}"
            owners.setdefault(known[0], []).append(path)
        return [Group(team=t, files=owners[t]) for t in self.pipeline.teams if t in owners], ""

    async def _story(self, run_id: str, repository: Repository, meeting: Meeting) -> str:
        """Which runs and which commits met in which files: for the team, and for a person."""
        others: dict[str, None] = {}
        for conflict in meeting.conflicts[:_MOST_NAMED]:
            runs = await repository.trailers(meeting.yours, meeting.standing, conflict.path, "Factory-Run")
            others |= dict.fromkeys(runs)
        whose = f"released by {_named(list(others))}" if others else "committed by a person"
        files = _named([conflict.path for conflict in meeting.conflicts])
        return (
            f"{files}: changed on main (commit {meeting.standing[:12]}, {whose}) and by {run_id} "
            f"(commit {meeting.yours[:12]}) in the same lines."
        )

    async def _objective(self, state: RunState, merging: Merging, group: Group) -> Repair:
        repository = await self.services.repository(state["run_id"])
        meeting = await repository.meet(merging["standing"], merging["yours"])
        onto = merging["commit"] or None
        laid = await repository.lay_out(meeting, group["files"], parent=onto or meeting.yours, onto=onto)
        return Repair(
            number=state.get("meetings", 0),
            base=laid.commit,
            standing=meeting.standing,
            yours=meeting.yours,
            files=group["files"],
            story=merging["story"],
        )

    async def _ask(
        self, state: RunState, number: int, meeting: Meeting, story: str, why: str
    ) -> dict[str, Any]:
        services, run_id = self.services, state["run_id"]
        repository = await services.repository(run_id)
        detail: JsonObject = {
            "files": [conflict.path for conflict in meeting.conflicts],
            "main": meeting.standing,
            "head": meeting.yours,
            "why": why,
        }
        approval = await services.approvals.request(
            run_id,
            kind="escalation",
            key=f"merge/{number}{again(state)}/escalation",
            risk="MEDIUM",
            title="Two changes met in the same lines",
            question=(
                f"{story}\nThe release waits: {why}.\n"
                "respond: say what shall stand, and the teams try once more with it\n"
                f"approve: you have merged main into the branch factory/{run_id} yourself; it is checked and "
                "put before you again\n"
                "reject: this run ends, its branch is kept, and main stays as it is\n"
                "The branch is here:" + people.by_hand(repository.path, f"log --oneline -3 factory/{run_id}")
            ),
            allowed=("respond", "approve", "reject"),
            detail=detail,
        )
        return {"question": people.question(approval), "merging": None}

    def _stage(self, team: str) -> CompiledStateGraph[Any, Any, Any, Any]:
        """The subgraph of a team's stage, for its repairs; made when one is needed."""
        if team not in self._stages:
            context = StageContext(self.services, self.services.registry.team(team), self.pipeline.teams)
            self._stages[team] = build_stage(context)
        return self._stages[team]


def build_reconcile(services: Services, pipeline: Pipeline) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Compile the subgraph."""
    nodes = Reconcile(services, pipeline)
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(RunState)
    graph.add_node("look", node("look", nodes.look))
    graph.add_node("repair", node("repair", nodes.repair))
    graph.add_node("settle", node("settle", nodes.settle))
    graph.add_node("ask_person", node("ask_person", people.ask))
    graph.add_node("heard", node("heard", nodes.heard))
    graph.add_edge(START, "look")
    onward = ["repair", "settle", "ask_person", "look", END]
    graph.add_conditional_edges("look", choice(_onward), onward)
    graph.add_conditional_edges("repair", choice(_onward), onward)
    graph.add_conditional_edges("settle", choice(_onward), onward)
    graph.add_edge("ask_person", "heard")
    graph.add_conditional_edges("heard", choice(_after_heard), ["ask_person", "look", END])
    return graph.compile(name="reconcile")


def _onward(state: RunState) -> str:
    merging = state.get("merging")
    if people.waits(state):
        return "ask_person"
    if merging:
        return "repair" if merging["done"] < len(merging["groups"]) else "settle"
    return "look" if state.get("behind") else END


def _after_heard(state: RunState) -> str:
    if state.get("halted"):
        return END
    return "ask_person" if people.waits(state) else "look"


def _merging(state: RunState) -> Merging:
    merging = state.get("merging")
    assert merging is not None
    return merging


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else shown
