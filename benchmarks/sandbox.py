"""What the factory's sandbox adds to bubblewrap: the time in which `true` is started, run and cleared away.

The baseline is bubblewrap itself with the same namespaces, mounts and capabilities. Ours adds to it the
limits, control groups, the filter of system calls, giving root up, reading the output and seeing that nothing
is left. Both run in turn; the medians are compared.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.measure import Measurement
from core.settings import Settings
from workspace.allowance import Allowance
from workspace.confinement import Confinement, find_bwraps
from workspace.sandbox import Sandbox

TIMES = 60
GOAL = 2.0


def measure() -> Iterator[Measurement]:
    """Yield the measurement."""
    ours, bare = asyncio.run(_measure())
    yield Measurement("sandbox start", ours * 1000, "ms", goal=GOAL, baseline=bare * 1000)


async def _measure() -> tuple[float, float]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        settings = Settings(home=Path(home))
        sandbox = await Sandbox.open(settings)
        assert sandbox.available, sandbox.why_not
        tree = Path(home) / "tree"
        tree.mkdir()
        confinement = Confinement(find_bwraps(settings.bwrap)[0], settings.home)
        arguments = confinement.arguments(tree, Allowance(), writable=True, files={}, seccomp_fd=None)
        bare_words = [confinement.bwrap, *arguments, "--", "true"]
        ours: list[float] = []
        bare: list[float] = []
        for _ in range(TIMES):
            started = time.perf_counter()
            done = await sandbox.run(["true"], tree)
            ours.append(time.perf_counter() - started)
            assert done.exit_code == 0, done
            started = time.perf_counter()
            _run(bare_words, confinement.environment)
            bare.append(time.perf_counter() - started)
        return median(ours), median(bare)


def _run(words: Sequence[str], environment: Mapping[str, str]) -> None:
    subprocess.run(words, check=True, env=environment)
