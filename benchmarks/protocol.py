"""The Agent Protocol: runs of a small graph over HTTP, against bare LangGraph, and two workers against one.

The graph has five nodes that do nothing but return. Bare means `ainvoke` in this process, with a checkpointer
of the same kind on the same Postgres, as many at a time. What is added is HTTP, accepting, claiming, the
recorded stream, and the end. Once the server executes the runs itself, and once a worker does. Both run in
turn; the medians are compared, as seconds per run.

Two workers and one are compared by a graph whose nodes compute: what returns at once keeps the server and
Postgres busier than any worker.
"""

# pyright: reportUnknownMemberType=false
# (LangGraph's own StateGraph has unknown types in its signatures.)

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Generator, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from langgraph.graph.state import CompiledStateGraph

from benchmarks.measure import Measurement
from core.database import Database
from core.settings import Settings

RUNS = 100
AT_ONCE = 10
TIMES = 3
GOAL = 1 / 0.8
"""Seconds per run, in those of bare LangGraph: at least 0.8 of its runs in the same time."""
IDLE = (os.cpu_count() or 1) >= 4
GOAL_OF_TWO = 1 / 1.6 if IDLE else 1.0
"""Seconds per run with two workers, in those with one. They, the server, Postgres and this process want a
processor each; where there are not even four, it is not to be slower."""

GRAPH = """
import operator
import time
from typing import Annotated, TypedDict
from langgraph.graph import END, START, StateGraph

class State(TypedDict, total=False):
    steps: Annotated[list[int], operator.add]

def node(number, seconds):
    async def step(state: State) -> State:
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass
        return {"steps": [number]}
    return step

def made(seconds):
    made = StateGraph(State)
    for number in range(5):
        made.add_node(f"node{number}", node(number, seconds))
        made.add_edge(START if number == 0 else f"node{number - 1}", f"node{number}")
    made.add_edge("node4", END)
    return made.compile()

graph, busy = made(0), made(0.004)
"""


def measure() -> Iterator[Measurement]:
    """Seconds per run, ten at a time, over HTTP and bare; and how long it takes until a run is accepted."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        (home / "five.py").write_text(GRAPH)
        (home / "langgraph.json").write_text(
            '{"graphs": {"five": "./five.py:graph", "busy": "./five.py:busy"}}'
        )
        busy: list[float] = []
        for workers, by in ((0, "the server"), (1, "a worker"), (2, "two workers")):
            with _server(home, workers) as (url, token):
                bare, served, accepted, of_busy = asyncio.run(_measure(home, url, token))
            busy.append(of_busy)
            name = f"protocol: a run of five nodes over HTTP, {AT_ONCE} in flight, by {by}"
            yield Measurement(name, served, "s", GOAL, bare)
            if workers < 2:
                name = f"protocol: accept, one after the other, p95, beside {by}"
                yield Measurement(name, accepted, "ms", 30)
        yield Measurement(
            "protocol: a run that computes, by two workers, to one", busy[2], "s", GOAL_OF_TWO, busy[1]
        )


@contextlib.contextmanager
def _server(home: Path, workers: int) -> Generator[tuple[str, str]]:
    """A server with so many workers that are processes of their own, when all of them are there."""
    env = os.environ | {"FACTORY_HOME": str(home / "home")}
    program = "import sys; from cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "serve", "--listen", "127.0.0.1:0", "--model", "offline"]
    command += ["--no-chat", "--graphs", str(home), "--workers", str(workers + 1)]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    url = token = ""
    missing = workers + 1
    try:
        for line in process.stderr:
            url = line.split()[-1] if line.startswith("Listening") else url
            token = line.split()[-1] if line.startswith("The token") else token
            missing -= line.startswith(("Graphs beside", "Executing runs"))
            if not missing:
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield url, token
    finally:
        process.terminate()
        process.wait()


async def _measure(home: Path, url: str, token: str) -> tuple[float, float, float, float]:
    """Seconds per run, bare and over HTTP; milliseconds to accept one; seconds per run that computes."""
    bare: list[float] = []
    served: list[float] = []
    async with (
        Database.open(Settings(home=home / "home")) as database,
        httpx.AsyncClient(base_url=url, headers={"x-api-key": token}, timeout=60) as http,
    ):
        graph = _graph(home).copy(update={"checkpointer": await database.checkpointer()})

        async def by_itself() -> None:
            await graph.ainvoke({"steps": []}, {"configurable": {"thread_id": str(uuid.uuid4())}})

        async def over_http(assistant: str = "five") -> float:
            thread = str(uuid.uuid4())
            body: dict[str, Any] = {"assistant_id": assistant, "input": {"steps": []}}
            body["if_not_exists"] = "create"
            begun = time.perf_counter()
            run = (await http.post(f"/threads/{thread}/runs", json=body)).raise_for_status().json()
            taken = (time.perf_counter() - begun) * 1_000
            done = await http.get(f"/threads/{thread}/runs/{run['run_id']}/join")
            assert done.json()["steps"] == [0, 1, 2, 3, 4], done.text
            return taken

        for work in (by_itself, over_http):
            await _timed(work, 3 * AT_ONCE)  # what is done once is done now
        for _ in range(TIMES):
            bare.append(await _timed(by_itself, RUNS))
            served.append(await _timed(over_http, RUNS))
        of_busy = median([await _timed(lambda: over_http("busy"), RUNS // 2) for _ in range(TIMES)])
        # One after the other: with ten in flight, each would wait for what the nine others do.
        accepted = sorted([await over_http() for _ in range(RUNS)])
    return median(bare), median(served), accepted[int(len(accepted) * 0.95)], of_busy


async def _timed(work: Callable[[], Awaitable[object]], runs: int) -> float:
    """Seconds per run, so many of them, AT_ONCE at a time."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with turns:
            await work()

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(runs)))
    return (time.perf_counter() - begun) / runs


def _graph(home: Path) -> CompiledStateGraph[Any, Any, Any, Any]:
    spec = spec_from_file_location("five", home / "five.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["five"] = module  # its types are looked up there
    spec.loader.exec_module(module)
    return module.graph
