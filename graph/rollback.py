"""Taking a run back to where one of its stages had ended: repository, state and event log together.

What the stage's commit holds is kept, and whatever came after it is undone: the run's branch, the LangGraph
state and the run's record say again what they said then. Nothing is lost by it: the old head stays under a
ref of its own, the log only grows, money spent stays spent, and main and what was pushed are left alone. The
next release puts the new result in the place of the old one.

First the intention is written down. Whoever drives the run next finishes what a crash cut off.
"""

# pyright: reportUnknownMemberType=false
# (LangGraph's own StateGraph has unknown types in its signatures.)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import StateSnapshot, StateUpdate

from core import faults
from core.errors import BadInput
from core.json import JsonObject
from graph import purging, undoing
from graph.lifecycle import REOPENS, reopen
from graph.runs import Run
from graph.services import Services

Graph = CompiledStateGraph[Any, Any, Any, Any]

PLAN: Final = "plan"
"""Stands for the moment after the plan: every stage is undone."""
_BEGUN: Final = "run.rollback_begun"
_DONE: Final = "run.rolled_back"
_NO_TASK: Final = "00000000-0000-0000-0000-000000000000"
"""LangGraph's id for writes of no task, as those of a `Command` are."""
_NOTHING: Final = "Nothing was rolled back"


class StageNotEnded(BadInput):
    """The run has no such stage that has ended, as it stands."""

    http_status = 409


class RollbackUnfinished(BadInput):
    """An earlier rollback of the run was cut off."""

    http_status = 409


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a run is taken back to."""

    number: int
    """1 for the run's first rollback."""
    stage: str
    commit: str
    head: str
    """The head of the run's branch before it."""
    checkpoint: str
    """The checkpoint at which the stage began."""
    kept: tuple[str, ...]
    """The stages whose work stays, this one among them."""
    round: int
    by: str


async def roll_back(services: Services, graph: Graph, run: Run, stage: str, *, by: str) -> Aim:
    """Take the run back to where `stage` had ended. The caller drives it alone.

    Raises StageNotEnded, RollbackUnfinished and RunPurged; then nothing is changed.
    """
    purging.require_whole(run, _NOTHING)
    begun = await unfinished(services, run)
    if begun is not None and begun.stage != stage:
        raise RollbackUnfinished(
            f"A rollback of run {run.id} to {begun.stage} was cut off",
            untouched=_NOTHING,
            todo=f"Finish it first with `factory rollback {run.id} {begun.stage} --yes`",
        )
    aim = begun or await _aim(services, graph, run, stage, by)
    if begun is None:
        key = f"rollback/{aim.number}/begun"
        await services.events.append(run.id, _BEGUN, _payload(aim), key=key, last=True)
        faults.point("rollback.begun")
    await finish(services, graph, run, aim)
    return aim


async def unfinished(services: Services, run: Run) -> Aim | None:
    """The rollback that was begun and not ended, where there is one."""
    told = await services.events.read(run.id, kinds=[_BEGUN, _DONE])
    if not told or told[-1].kind == _DONE:
        return None
    payload: dict[str, Any] = told[-1].payload
    fields: dict[str, Any] = {**payload, "kept": tuple(payload["kept"])}
    return Aim(**fields)


async def finish(services: Services, graph: Graph, run: Run, aim: Aim) -> None:
    """Carry out what was intended, each step once: repository, state, then the record with the log."""
    repository = await services.repository(run.id)
    ref = await repository.roll_back(run.id, aim.number, aim.commit)
    faults.point("rollback.repository")
    config: RunnableConfig = {"configurable": {"thread_id": run.id}}
    if (await graph.aget_state(config)).values.get("rollbacks", 0) != aim.number:
        await _fork(graph, run.id, aim)
    faults.point("rollback.state")
    await undoing.of_stages(services, run, aim.number, aim.commit)
    faults.point("rollback.memory")
    await reopen(
        services.db,
        services.events,
        run.id,
        number=aim.number,
        revision=aim.round - 1,
        why=f"superseded: the run was rolled back to {aim.stage}",
        payload={**_payload(aim), "old_head": ref},
    )


async def _aim(services: Services, graph: Graph, run: Run, stage: str, by: str) -> Aim:
    if run.status not in REOPENS:
        raise _not_ended(run, stage, ())
    repository = await services.repository(run.id)
    config: RunnableConfig = {"configurable": {"thread_id": run.id}}
    state: dict[str, Any] = (await graph.aget_state(config)).values
    ended = {
        team: outcome for team, outcome in state.get("results", {}).items() if outcome["verdict"] == "pass"
    }
    lineage = await _lineage(graph, config)
    if stage == PLAN:
        commit, number, kept = str(run.base_commit), 1, list[str]()
    elif stage in ended:
        commit, number = str(ended[stage]["commit"]), int(ended[stage]["round"])
        kept = [
            team
            for team, outcome in ended.items()
            if outcome["round"] <= number and await repository.holds(commit, outcome["commit"])
        ]
    else:
        raise _not_ended(run, stage, list(ended))
    base = await _before(graph, lineage, stage, commit)
    if base is None:
        raise _not_ended(run, stage, list(ended))
    return Aim(
        number=run.rollbacks + 1,
        stage=stage,
        commit=commit,
        head=await repository.run_head(run.id),
        checkpoint=_id(base.config),
        kept=tuple(kept),
        round=number,
        by=by,
    )


async def _lineage(graph: Graph, config: RunnableConfig) -> list[StateSnapshot]:
    """The checkpoints by which the run came to be as it is, the newest first; not those of undone ways."""
    every = {_id(found.config): found async for found in graph.aget_state_history(config)}
    at = _id((await graph.aget_state(config)).config)
    way: list[StateSnapshot] = []
    while found := every.get(at):
        way.append(found)
        at = _id(found.parent_config) if found.parent_config else ""
    return way


async def _before(
    graph: Graph, lineage: Sequence[StateSnapshot], stage: str, commit: str
) -> StateSnapshot | None:
    """The checkpoint at which the stage began that ended with `commit`."""
    for found in lineage:
        tasks = {task.name: task.id for task in found.tasks}
        if stage in tasks:
            written = _written(await _tuple(graph, found.config), tasks[stage])
            outcome = written.get("results", {}).get(stage, {})
            if stage == PLAN or (outcome and outcome["commit"] == commit):
                return found
    return None


async def _fork(graph: Graph, run_id: str, aim: Aim) -> None:
    """A new newest checkpoint: that at which the stage began, with what the kept stages gave then."""
    config: RunnableConfig = {"configurable": {"thread_id": run_id, "checkpoint_id": aim.checkpoint}}
    base = await graph.aget_state(config)
    saved = await _tuple(graph, base.config)
    stays = {*aim.kept, *base.values.get("skipped", {}), PLAN}
    kept = {task.name: task.id for task in base.tasks if task.name in stays}
    # An update as of these nodes would forget the others of their wave, and run a node again that waited for
    # several. So what they gave is written beside a copy of the checkpoint, as if the process had died there.
    copied = await graph.abulk_update_state(base.config, [[StateUpdate(None, "__copy__")]])
    tasks = {task.name: task.id for task in (await graph.aget_state(copied)).tasks}
    saver = _saver(graph)
    for name, task in kept.items():
        await saver.aput_writes(copied, _raw(saved, task), tasks[name])
    # What no task wrote is taken in before the others begin: their names must have the new ending already.
    await saver.aput_writes(copied, [("rollbacks", aim.number)], _NO_TASK)


def _saver(graph: Graph) -> BaseCheckpointSaver[Any]:
    return cast("BaseCheckpointSaver[Any]", cast("Any", graph).checkpointer)


async def _tuple(graph: Graph, config: RunnableConfig) -> CheckpointTuple | None:
    return await _saver(graph).aget_tuple(config)


def _raw(saved: CheckpointTuple | None, task: str) -> list[tuple[str, Any]]:
    """What a task wrote, without its questions and answers."""
    pending = (saved.pending_writes or []) if saved else []
    asides = ("__interrupt__", "__resume__", "__error__", "__scheduled__")
    return [(channel, value) for owner, channel, value in pending if owner == task and channel not in asides]


def _written(saved: CheckpointTuple | None, task: str) -> dict[str, Any]:
    """The values that a task gave to the state, without the edges that it took."""
    return {
        channel: value
        for channel, value in _raw(saved, task)
        if not channel.startswith(("__", "branch:", "join:"))
    }


def _id(config: RunnableConfig | Mapping[str, Any]) -> str:
    return str(cast("Any", config)["configurable"].get("checkpoint_id", ""))


def _payload(aim: Aim) -> JsonObject:
    return {
        "number": aim.number,
        "stage": aim.stage,
        "commit": aim.commit,
        "head": aim.head,
        "checkpoint": aim.checkpoint,
        "kept": list(aim.kept),
        "round": aim.round,
        "by": aim.by,
    }


def _not_ended(run: Run, stage: str, ended: Sequence[str]) -> StageNotEnded:
    there = ", ".join((PLAN, *ended)) if run.status in REOPENS else "none yet"
    return StageNotEnded(
        f"No stage {stage[:60]!r} has ended in run {run.id} as it stands ({run.status})",
        untouched=_NOTHING,
        todo=f"It can be taken back to: {there}",
    )
