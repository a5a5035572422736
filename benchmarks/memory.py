"""Memory of a process that holds a run in progress: its resident set while the run waits for a person.

A process of its own opens a factory, takes a run of five teams with the offline model to its review, and
asks the kernel for its resident set. Postgres and sandboxed commands are other processes and are not in it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Measurement
from core.settings import Settings
from graph.runner import Factory

GOAL = 250.0


def measure() -> Iterator[Measurement]:
    """Yield the measurement."""
    asked = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory"], check=True, capture_output=True, text=True
    )
    yield Measurement("a run in progress, resident", float(asked.stdout), "MB", goal=GOAL)


async def _resident() -> float:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with Factory.open(Settings(home=Path(home), model="offline")) as factory:
            run_id = await factory.submit("A lending library: members borrow books", pipeline="core")
            outcome = await factory.drive(run_id)
            assert outcome.waiting, outcome
            return _own_resident()


def _own_resident() -> float:
    """Megabytes of this process that are in memory now."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return int(kilobytes) / 1024


if __name__ == "__main__":
    print(asyncio.run(_resident()))
