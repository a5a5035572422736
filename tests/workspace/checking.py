"""Trees, baselines and one check at a time, for the tests of the checks."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from workspace.checks import Baseline, CheckResult, run_checks
from workspace.sandbox import Sandbox


def fill(folder: Path, files: dict[str, str]) -> Path:
    """The folder with these files in it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


async def only(name: str, folder: Path, sandbox: Sandbox, **options: Any) -> CheckResult:
    """The result of one check."""
    results = await run_checks([name], folder, sandbox, **options)
    result = next(each for each in results if each.name == name)
    assert 0 <= result.score <= 100
    return result


def baseline(folder: Path) -> Baseline:
    """A baseline on a folder that stands for the commit that a run started from."""

    @asynccontextmanager
    async def checkout() -> AsyncGenerator[Path]:
        yield folder

    return Baseline("base", checkout)
