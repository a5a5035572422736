"""A process that drives a run and may be killed at a named point on its way. Started through a fork server,
since importing LangGraph anew for each of a hundred deaths would take longer than the deaths."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from core import faults
from core.errors import FactoryError
from core.settings import Settings
from graph.queue.driving import Dispatch
from graph.runner import Factory
from memory.extraction.model import preload
from tests import proved
from tests.forking import context as forking
from tests.forking import start_server

preload()  # mem0 takes more than a second, which need not be spent in each process that dies

UNAVAILABLE = 75
"""Exit code of a process that ended with a clear error of ours."""

LONGEST = 300.0
"""Seconds that one process may drive a run."""


def drive(
    settings: Mapping[str, Any],
    run_id: str,
    *,
    crash_at: str = "",
    trace: Path | None = None,
    kill_after: float | None = None,
) -> int:
    """Drive a run in a process of its own; its exit code, -9 when it was killed.

    It dies at the point `crash_at`, or wherever it is after `kill_after` seconds.
    """
    process = _begin(settings, run_id, environment(crash_at, trace))
    process.join(LONGEST if kill_after is None else kill_after)
    if process.is_alive():
        process.kill()
        process.join()
        if kill_after is None:
            raise TimeoutError(f"driving {run_id} took longer than {LONGEST:.0f} s")
    assert process.exitcode is not None
    return process.exitcode


def roll_back(settings: Mapping[str, Any], run_id: str, stage: str, *, crash_at: str) -> int:
    """Take a run back to a stage in a process of its own that dies at the point `crash_at`; its exit code."""
    process = _begin(settings, run_id, environment(crash_at), stage)
    process.join(LONGEST)
    assert process.exitcode is not None
    return process.exitcode


def _begin(
    settings: Mapping[str, Any], run_id: str, environment: dict[str, str], stage: str = ""
) -> ForkServerProcess:
    start_server()
    told = (dict(settings), run_id, environment, proved.known(), stage)
    process = forking.Process(target=_drive, args=told)
    process.start()
    return process


def work(settings: Mapping[str, Any], jobs: int = 2) -> ForkServerProcess:
    """A worker process, which does what is in the queue until it is killed."""
    start_server()
    told = (dict(settings), jobs, environment(""), proved.known())
    process = forking.Process(target=_work, args=told)
    process.start()
    return process


def _work(
    settings: dict[str, Any], jobs: int, environment: dict[str, str], tried: dict[str, proved.Held]
) -> None:
    os.environ |= environment
    proved.believe(tried)
    asyncio.run(_working(settings, jobs))


async def _working(settings: dict[str, Any], jobs: int) -> None:
    async with (
        Factory.open(Settings(**settings)) as factory,
        Dispatch.open(factory) as dispatch,
        dispatch.working(jobs),
    ):
        await asyncio.Event().wait()


def environment(crash_at: str, trace: Path | None = None) -> dict[str, str]:
    """This process's environment as it is now: the fork server has that of the test which started it."""
    return {**os.environ, "FACTORY_CRASH_AT": crash_at, "FACTORY_CRASH_TRACE": str(trace or "")}


def _drive(
    settings: dict[str, Any],
    run_id: str,
    environment: dict[str, str],
    tried: dict[str, proved.Held],
    stage: str,
) -> None:
    os.environ |= environment
    proved.believe(tried)
    importlib.reload(faults)
    try:
        asyncio.run(_run(settings, run_id, stage))
    except FactoryError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(UNAVAILABLE)


async def _run(settings: dict[str, Any], run_id: str, stage: str) -> None:
    async with Factory.open(Settings(**settings)) as factory:
        if stage:
            await factory.roll_back(run_id, stage, by="a person who is cut off")
        else:
            await factory.drive(run_id)


def points(trace: Path) -> list[str]:
    """The points a traced run passed, in order."""
    return trace.read_text().splitlines() if trace.exists() else []
