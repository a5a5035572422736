"""What the factory itself costs in the offline demo: the seconds in which nothing that was generated runs.

The demo's requirement goes through all seventeen teams with the offline model, real git, real sandbox and
real checks, in a fresh home whose database is already initialised. From the wall time of the run the time is
taken in which at least one sandboxed command (a team's own, or a check's) was running. What is left is the
factory: graph, checkpoints, events, prompts, git. Without a baseline: the goal is absolute.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import Measurement
from core.settings import Settings
from graph.runner import Factory
from workspace.sandbox import Sandbox

GOAL = 5.0
REQUIREMENT = Path(__file__).parents[1] / "examples" / "lending-library.md"


def measure() -> Iterator[Measurement]:
    """Yield the measurement."""
    yield Measurement("factory itself, offline demo", asyncio.run(_measure()), "s", goal=GOAL)


async def _measure() -> float:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with Factory.open(Settings(home=Path(home), model="offline")) as factory:
            return await itself(factory, REQUIREMENT.read_text(encoding="utf-8"))


async def itself(factory: Factory, requirement: str, project: str | None = None) -> float:
    """Seconds of a run in which no sandboxed command was running."""
    run_id = await factory.submit(requirement, project=project, approve_all=True)
    with _watched() as running:
        started = time.perf_counter()
        outcome = await factory.drive(run_id)
        taken = time.perf_counter() - started
    assert outcome.status == "completed", outcome
    return taken - _covered(running)


@contextmanager
def _watched() -> Generator[list[tuple[float, float]]]:
    """When sandboxed commands run while this is open.

    In whatever sandbox: a project with dependencies of its own has one made from the factory's
    (`Sandbox.with_libraries`), so that a watch on the factory's object alone would miss its commands.
    """
    running: list[tuple[float, float]] = []
    run: Any = Sandbox.run

    async def noted(*given: Any, **more: Any) -> Any:
        started = time.perf_counter()
        try:
            return await run(*given, **more)
        finally:
            running.append((started, time.perf_counter()))

    Sandbox.run = noted
    try:
        yield running
    finally:
        Sandbox.run = run


def _covered(intervals: Sequence[tuple[float, float]]) -> float:
    """Seconds that at least one of the intervals covers."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
