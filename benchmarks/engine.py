"""The engine: seventeen stages with an instant model, without workspace effects, against bare LangGraph.

The factory's side has everything else on: event log, gate, approvals, ledger of events, status changes. The
baseline is a LangGraph graph with the same nodes and edges in the same nesting, whose nodes return what the
factory's nodes returned (recorded once), with LangGraph's own checkpointer on the same Postgres. The factory
has its own (graph/checkpoints.py), which writes the same rows. Both run in turn, five times; the medians are
compared.
"""

# pyright: reportUnknownMemberType=false
# (LangGraph's own StateGraph has unknown types in its signatures.)

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, cast

from langchain_core.messages import AIMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from benchmarks.measure import Measurement
from core.settings import Settings
from graph.dag import Pipeline
from graph.driver import Driver
from graph.pipeline import build_pipeline, first_input
from graph.runner import Factory
from graph.runs import Run
from graph.services import Services
from graph.state import RunState, StageInput, StageOutput, StageState
from models.calls import Call, Reply
from models.embeddings.base import Embedder
from models.embeddings.local import LocalEmbedder
from teams.globs import sample
from teams.registry import Registry
from workspace.files import Files
from workspace.repository import Merge

TIMES = 5
GOAL = 1.5
Graph = CompiledStateGraph[Any, Any, Any, Any]
Recorded = Mapping[tuple[str, str], dict[str, Any]]
"""What each node returned: (the subgraph's name or "", the node) → its update."""

_COMMIT = "0" * 40
_RESULT = (
    '{"reasoning": "r", "deliverables": [], "verified_facts": ["f"], "assumptions_made": [], "blockers": [],'
    ' "clarification_target": "", "clarification_question": "", "confidence": 90, "status": "COMPLETE"}'
)
_REPLIES = {
    "plan": '{"reasoning": "r", "title": "t", "skip": []}',
    "review": '{"findings": [], "verdict": "approve"}',
    "report": _RESULT,
    "work": "Done.",
}


class InstantModels:
    """A model that answers at once and writes nothing."""

    announcement = None
    is_offline = True
    least_answer = 1_024
    replays = False
    traces = False
    chains = SimpleNamespace(account_budgets=dict[str, Decimal])
    """Nobody's budgets."""

    async def keep_recalled(self, *_: Any) -> None:
        """Nothing is recorded."""

    def view(self, **_: Any) -> InstantModels:
        """The same for everybody."""
        return self

    def candidates(self, _alias: str) -> int:
        """One."""
        return 1

    def native_tools(self, _alias: str, _candidate: int = 0) -> bool:
        """Fenced blocks."""
        return False

    def context_tokens(self, _alias: str, _candidate: int = 0) -> int:
        """Enough."""
        return 131_072

    def measure(self, _messages: Any, _tools: Any = ()) -> int:
        """Little."""
        return 1_000

    async def embedder(self) -> Embedder:
        """The one without a model."""
        return LocalEmbedder()

    async def complete(self, alias: str, _messages: Any, *, call: Call, **_: Any) -> Reply:
        """The reply for this kind of call."""
        message = AIMessage(_REPLIES[call.kind])
        return Reply(message, alias, "none", "instant", 1, 1, Decimal(0), 0.0)


class StillTree:
    """A worktree in which nothing ever happens."""

    base = _COMMIT

    def __init__(self, name: str, path: Path) -> None:
        self.stage = name
        self.path = path
        self.files = Files(path)

    async def restore(self, _commit: str) -> None:
        """Nothing."""

    async def changed(self) -> list[str]:
        """Nothing."""
        return []


class StillRepository:
    """A repository in which every deliverable is already there."""

    name = "bench"

    def __init__(self, files: Sequence[str], path: Path) -> None:
        self._files = list(files)
        self.path = path

    async def newest(self, _run_id: str, _commits: Sequence[str]) -> str:
        """The commit."""
        return _COMMIT

    async def read(self, _commit: str, _path: str) -> str | None:
        """No file."""
        return None

    async def texts(self, _ref: str, _folder: str) -> dict[str, str]:
        """No mail."""
        return {}

    async def post(self, _run_id: str, _files: Any, *, message: str) -> None:
        """Nothing."""

    async def changed(self, _base: str, _head: str) -> list[str]:
        """Nothing."""
        return []

    async def open_stages(self, _run_id: str) -> list[str]:
        """None."""
        return []

    async def standing(self, *_: Any) -> str:
        """The commit."""
        return _COMMIT

    async def same_product(self, _one: str, _other: str) -> bool:
        """Yes."""
        return True

    async def take_in(self, *_: Any, **__: Any) -> str:
        """Taken in."""
        return _COMMIT

    async def trailers(self, *_: Any) -> list[str]:
        """None."""
        return []

    async def tag(self, *_: Any, **__: Any) -> str:
        """Tagged."""
        return _COMMIT

    async def holds(self, _commit: str, _other: str | None) -> bool:
        """One commit holds itself."""
        return True

    async def begin_run(self, _run_id: str) -> str:
        """A commit."""
        return _COMMIT

    async def run_head(self, _run_id: str) -> str:
        """The same commit."""
        return _COMMIT

    async def open_stage(self, _run_id: str, stage: str, *, base: str | None = None) -> StillTree:
        """A tree of that name."""
        return StillTree(stage, self.path)

    async def files(self, _commit: str) -> list[str]:
        """Nothing yet."""
        return []

    async def sizes(self, _commit: str) -> dict[str, int]:
        """Every deliverable."""
        return dict.fromkeys(self._files, 1)

    async def diff(self, _a: str, _b: str, *, stat: bool = False) -> str:
        """Nothing."""
        return ""

    async def merge_stage(self, _tree: StillTree, **_: Any) -> Merge:
        """Merged."""
        return Merge(_COMMIT, [], [])

    async def close_stage(self, _tree: StillTree) -> None:
        """Nothing."""

    async def release(self, _run_id: str, **_: Any) -> str:
        """Released."""
        return _COMMIT


def measure() -> Iterator[Measurement]:
    """Yield the measurement."""
    ours, bare = asyncio.run(_measure())
    yield Measurement("engine, 17 stages", ours, "s", goal=GOAL, baseline=bare)


async def _measure() -> tuple[float, float]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with Factory.open(Settings(home=Path(home), model="offline")) as factory:
            services, pipeline = still(factory), factory.pipeline("full")
            ours = build_pipeline(services, pipeline, factory.checkpointer)
            recorded = await _record(factory, services, pipeline)
            bare = _bare(pipeline, recorded, await factory.db.checkpointer())
            taken: dict[str, list[float]] = defaultdict(list)
            for number in range(TIMES):
                taken["ours"].append(await drive(factory, services, ours))
                taken["bare"].append(await _invoke(bare, f"bare-{number}"))
            return median(taken["ours"]), median(taken["bare"])


def still(factory: Factory) -> Services:
    """The factory's services with an instant model, no workspace, and no checks to run in one."""
    teams = [team.model_copy(update={"checks": ()}) for team in factory.registry]
    files = [sample(pattern) for team in teams for pattern in team.deliverables]
    empty = factory.settings.home / "still"
    empty.mkdir(parents=True, exist_ok=True)
    return replace(
        factory.services,
        models=cast(Any, InstantModels()),
        registry=Registry(factory.registry.pack, {}, teams),
        repositories={"bench": cast(Any, StillRepository(files, empty))},
    )


async def _submit(factory: Factory) -> Run:
    run_id = await factory.services.runs.create(
        "A lending library: members borrow books",
        project="bench",
        repository=Path(),
        pipeline="full",
        model=None,
        approve_all=True,
    )
    return await factory.services.run(run_id)


async def drive(factory: Factory, services: Services, graph: Graph) -> float:
    run = await _submit(factory)

    async def same(_run: Run) -> Graph:
        return graph

    started = time.perf_counter()
    outcome = await Driver(services, same).drive(run.id)
    assert outcome.status == "completed", outcome
    return time.perf_counter() - started


async def _record(factory: Factory, services: Services, pipeline: Pipeline) -> Recorded:
    """What each node returns, from one run of the real thing."""
    recorded: dict[tuple[str, str], dict[str, Any]] = {}
    graph = build_pipeline(services, pipeline, factory.checkpointer)
    parts: list[tuple[str, Any]] = [("", graph), *graph.get_subgraphs()]
    for space, part in parts:
        for name, node in part.nodes.items():
            if hasattr(node.bound, "afunc") and node.bound.afunc is not None and not name.startswith("__"):
                node.bound.afunc = _recorder(node.bound.afunc, recorded, (space, name))
    await drive(factory, services, graph)
    return recorded


def _recorder(function: Any, recorded: dict[tuple[str, str], dict[str, Any]], key: tuple[str, str]) -> Any:
    async def record(*given: Any, **more: Any) -> Any:
        update = await function(*given, **more)
        recorded[key] = update or {}
        return update

    return record


def _bare(pipeline: Pipeline, recorded: Recorded, checkpointer: BaseCheckpointSaver[Any]) -> Graph:
    """The same nodes and edges without the factory: what a run passes up to its review."""
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(RunState)
    graph.add_node("govern", _line("govern", RunState, RunState, RunState, recorded))
    graph.add_node("plan", _line("plan", RunState, RunState, RunState, recorded))
    for stage in pipeline.stages:
        graph.add_node(stage.team, _line(stage.team, StageState, StageInput, StageOutput, recorded))
    graph.add_node("validate", _line("validate", RunState, RunState, RunState, recorded))
    graph.add_node("review", _line("review", RunState, RunState, RunState, recorded))
    graph.add_node("release", _replay({}))
    graph.add_edge(START, "govern")
    graph.add_edge("govern", "plan")
    for stage in pipeline.stages:
        graph.add_edge(list(stage.needs) if stage.needs else "plan", stage.team)
    graph.add_edge(list(pipeline.sinks), "validate")
    graph.add_edge("validate", "review")
    graph.add_edge("review", "release")
    graph.add_edge("release", END)
    return graph.compile(checkpointer=checkpointer)


def _line(name: str, state: Any, given: Any, back: Any, recorded: Recorded) -> Graph:
    """The nodes that a subgraph passed, one after the other."""
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(state, input_schema=given, output_schema=back)
    previous = START
    for (space, node), update in recorded.items():
        if space == name:
            graph.add_node(node, _replay(update))
            graph.add_edge(previous, node)
            previous = node
    graph.add_edge(previous, END)
    return graph.compile(name=name)


def _replay(update: dict[str, Any]) -> Any:
    async def node(_state: Any) -> dict[str, Any]:
        return update

    return node


async def _invoke(graph: Graph, thread: str) -> float:
    config: Any = {"configurable": {"thread_id": thread}}
    started = time.perf_counter()
    given: Any = first_input(thread, "A lending library: members borrow books")
    await graph.ainvoke(given, config, durability="sync")
    return time.perf_counter() - started
