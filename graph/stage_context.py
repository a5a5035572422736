"""What all nodes of one team's stage share: its services, its names and keys, its worktree, its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.events import Entry, Event
from core.json import JsonObject
from graph.again import again
from graph.pauses import after_pauses
from graph.services import Services
from graph.state import Change, Repair, StageState
from models.calls import Call, CallKind, Reply
from models.errors import ModelFailure
from teams.contract import Objective, Upstream
from teams.team import Team
from workspace.repository import Repository
from workspace.stage import StageTree

RAW_KEPT = 64_000
"""Characters of an unusable reply that the event log keeps: all of an honest one, not of a hostile."""


@dataclass(frozen=True)
class StageContext:
    """One team's stage within any run. Holds no state of a run: that is in `StageState`."""

    services: Services
    team: Team
    team_ids: tuple[str, ...]
    """The teams of the pipeline: whom this one may ask."""

    def key(self, state: StageState) -> str:
        """The stage's name inside its run, the prefix of every idempotency key: `team.round`.

        A repair is a stage of its own, `team.round.repair1`.
        """
        repair = state.get("repair")
        name = f"{self.team.id}.{state['round']}" + (f".repair{repair['number']}" if repair else "")
        return name + again(state)

    def call(self, state: StageState, kind: CallKind, suffix: str, *, operative: str) -> Call:
        """The identity of a model call."""
        return Call(
            run_id=state["run_id"],
            team=self.team.id,
            operative=operative,
            kind=kind,
            key=f"{self.key(state)}/{suffix}{after_pauses(state)}",
        )

    async def event(self, state: StageState, kind: str, payload: JsonObject, suffix: str) -> Event:
        """Append an event of this stage; a second time with the same suffix it gives the first one."""
        return await self.services.events.append(
            state["run_id"], kind, payload, team=self.team.id, key=f"{self.key(state)}/{suffix}"
        )

    def entry(self, state: StageState, kind: str, payload: JsonObject, suffix: str) -> Entry:
        """An event of this stage that is to be written together with others."""
        return Entry(kind, payload, f"{self.key(state)}/{suffix}", self.team.id)

    async def events(self, state: StageState, *entries: Entry) -> list[Event]:
        """Append several events in one round trip."""
        return await self.services.events.append_all(state["run_id"], entries)

    async def failed(self, state: StageState, call: Call, failure: ModelFailure) -> None:
        """The event of a model call that gave no usable reply, with what the model had said until then."""
        payload = failed_payload(call, failure)
        await self.services.events.append(
            state["run_id"], "model.failed", payload, team=call.team, key=f"{call.key}/failed"
        )

    async def tree(self, state: StageState) -> StageTree:
        """The stage's worktree as it was after the last node that changed it."""
        tree = await self.services.tree(state["run_id"], state["tree"])
        await tree.restore(state["head"])
        return tree

    async def repository(self, state: StageState) -> Repository:
        """The project's repository."""
        return await self.services.repository(state["run_id"])

    def team_in(self, state: StageState) -> Team:
        """The team as it works in this run.

        A change is of what is there, wherever the project keeps it; a repair is of the files of the conflict.
        """
        change, repair = state.get("change"), state.get("repair")
        if not change and not repair:
            return self.team
        adopted = change.get("adopted", {}).get(self.team.id, ()) if change else ()
        # A repair is no new work: the deliverables were there before it.
        wanted = change.get("deliverables", {}).get(self.team.id, ()) if change and not repair else ()
        paths = (*self.team.paths, *adopted, *(repair["files"] if repair else ()))
        return self.team.model_copy(update={"paths": paths, "deliverables": tuple(wanted)})

    def objective(self, state: StageState) -> Objective:
        """The team's objective in this round, with what the stages before it handed on."""
        if repair := state.get("repair"):
            return self._repair_objective(state, repair)
        deliverables = self.team_in(state).deliverables
        return Objective(
            id=f"{state['run_id']}/{self.team.id}/{state['round']}",
            team=self.team.id,
            goal=f"{self.team.purpose}",
            acceptance_criteria=(
                *_asked_for(state.get("change")),
                *(
                    f"`{pattern}` is there, complete and consistent with the upstream results"
                    for pattern in deliverables
                ),
                *(f"the check `{check}` holds" for check in self.team.checks),
                *(("the review comment below is answered",) if state.get("comment") else ()),
            ),
            inputs=tuple(
                Upstream(team=team, facts=tuple(outcome["facts"]), files=tuple(outcome["files"]))
                for team, outcome in state.get("results", {}).items()
                if outcome["verdict"] == "pass" and team != self.team.id
            ),
            deliverables=deliverables,
            limits=self.team.limits,
        )

    def _repair_objective(self, state: StageState, repair: Repair) -> Objective:
        return Objective(
            id=f"{state['run_id']}/{self.team.id}.repair{repair['number']}/{state['round']}",
            team=self.team.id,
            goal=f"Make one of two changes that met in the same lines. {repair['story']}",
            acceptance_criteria=(
                *(f"`{path}` holds what both sides wanted, and no marker line" for path in repair["files"]),
                *(f"the check `{check}` holds" for check in self.team.checks),
            ),
            inputs=(),
            deliverables=(),
            limits=self.team.limits,
        )

    def overtime(self, state: StageState) -> str:
        """Which limit the clock has reached, in words; empty while there is time."""
        minutes = state["worked"] / 60
        limit = self.team.limits.minutes
        return f"minutes: {minutes:.0f} of {limit}" if minutes >= limit else ""


def _asked_for(change: Change | None) -> tuple[str, ...]:
    """The criteria that a change's own text gives, and that what held before holds still."""
    if not change:
        return ()
    tests = change.get("tests")
    kept = (f"the tests that passed before still do ({tests})",) if tests else ()
    return (*change.get("criteria", ()), *kept)


def called(call: Call, reply: Reply) -> Entry:
    """The event of a model call that succeeded."""
    return Entry("model.called", called_payload(call, reply), f"{call.key}/called", call.team)


def failed_payload(call: Call, failure: ModelFailure) -> JsonObject:
    """What the event log keeps of a model call that gave no usable reply."""
    return {
        "operative": call.operative,
        "call": call.kind,
        "error": str(failure),
        "raw": failure.raw[:RAW_KEPT],
    }


def called_payload(call: Call, reply: Reply) -> JsonObject:
    """What the event log keeps of a model call: never its text."""
    payload: dict[str, Any] = {
        "alias": reply.alias,
        "model": reply.model,
        "provider": reply.provider,
        "operative": call.operative,
        "call": call.kind,
        "input_tokens": reply.input_tokens,
        "output_tokens": reply.output_tokens,
        "cost_usd": float(reply.cost_usd),
        "seconds": round(reply.seconds, 3),
    }
    return payload
