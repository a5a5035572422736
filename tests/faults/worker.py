"""A process that drives a run and may be killed at a named point on its way. Started through a fork server,
since importing LangGraph anew for each of a hundred deaths would take longer than the deaths."""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import os
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from core import faults
from core.settings import Settings
from graph.runner import Factory

_context = multiprocessing.get_context("forkserver")


def _start_server() -> None:
    # The fork server of Python 3.11 imports its preload without our sys.path, and hides that it failed.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    try:
        _context.set_forkserver_preload(["tests.faults.worker"])
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def drive(settings: Mapping[str, Any], run_id: str, *, crash_at: str = "", trace: Path | None = None) -> int:
    """Drive a run in a process of its own; its exit code, -9 when it was killed at `crash_at`."""
    _start_server()
    process = _context.Process(target=_drive, args=(dict(settings), run_id, crash_at, str(trace or "")))
    process.start()
    process.join(120)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f"driving {run_id} took longer than 120 s")
    assert process.exitcode is not None
    return process.exitcode


def _drive(settings: dict[str, Any], run_id: str, crash_at: str, trace: str) -> None:
    os.environ |= {"FACTORY_CRASH_AT": crash_at, "FACTORY_CRASH_TRACE": trace}
    importlib.reload(faults)
    asyncio.run(_run(settings, run_id))


async def _run(settings: dict[str, Any], run_id: str) -> None:
    async with Factory.open(Settings(**settings)) as factory:
        await factory.drive(run_id)


def points(trace: Path) -> list[str]:
    """The points a traced run passed, in order."""
    return trace.read_text().splitlines() if trace.exists() else []
