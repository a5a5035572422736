"""The git work of one stage in a repository of 5,000 files: open a worktree, commit a change, merge it.

On the real disk, with everything on that a run has: locks, limits, the look for what may not be recorded. The
goal is absolute: a person waits for it once a stage.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.measure import Measurement
from core.settings import Settings
from workspace.inventory import Limits
from workspace.projects import Workspace
from workspace.repository import Repository

FILES = 5_000
TIMES = 7
GOAL = 400.0


def measure() -> Iterator[Measurement]:
    """Yield the measurements: the whole, and its parts."""
    taken = asyncio.run(_measure())
    whole = [sum(parts) for parts in taken]
    for name, values in zip(
        ("worktree, commit, merge", "worktree", "commit", "merge"),
        (whole, *zip(*taken, strict=True)),
        strict=True,
    ):
        yield Measurement(f"git of a stage: {name}", median(values) * 1000, "ms", goal=GOAL)


async def _measure() -> list[tuple[float, float, float]]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        source = Path(folder) / "source"
        await asyncio.to_thread(_fill, source)
        made = await Workspace(Settings(home=Path(folder) / "home")).project("bench", source=source)
        repository = Repository("bench", made.path.parent, Limits(files=2 * FILES))
        await repository.begin_run("run-1")
        return [await _stage(repository, number) for number in range(TIMES)]


async def _stage(repository: Repository, number: int) -> tuple[float, float, float]:
    times = [time.perf_counter()]
    tree = await repository.open_stage("run-1", f"backend_engineering.{number}")
    times.append(time.perf_counter())
    for each in range(5):
        tree.files.write(f"src/package{each}/new{number}.py", f"value = {number}\n")
    await tree.snapshot("A turn")
    times.append(time.perf_counter())
    merge = await repository.merge_stage(tree, message="A stage", trailers={})
    assert len(merge.files) == 5, merge
    times.append(time.perf_counter())
    await repository.close_stage(tree)
    return times[1] - times[0], times[2] - times[1], times[3] - times[2]


def _fill(source: Path) -> None:
    for number in range(FILES):
        file = source / f"src/package{number % 100}/module{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"def function_{number}() -> int:\n    return {number}\n" * 20)
    flags = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "gc.auto=0"]
    for words in (["init", "-q"], ["add", "."], [*flags, "commit", "-qm", "Begin"]):
        subprocess.run(["git", *words], cwd=source, check=True)
