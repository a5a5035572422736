"""Runs checks by name."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from core.errors import FactoryError
from workspace.checks import documents, links, lint, secrets, tests
from workspace.checks.result import CheckResult, CheckUnknown, not_run
from workspace.files import Files
from workspace.sandbox import Sandbox

_READERS: Mapping[str, Callable[[Files, Sequence[str] | None], CheckResult]] = {
    "secrets": secrets.check,
    "links": links.check,
    "json": documents.check,
}
_RUNNERS = {"tests": tests.check, "lint": lint.check}

CHECKS = frozenset((*_READERS, *_RUNNERS))
"""The names of all checks."""


async def run_checks(
    names: Sequence[str],
    tree: Path,
    sandbox: Sandbox,
    *,
    timeout: float = 120,
    changed: Sequence[str] | None = None,
) -> list[CheckResult]:
    """Run the named checks on a worktree, one after the other, each at most `timeout` seconds.

    `changed` are the paths that the secret scan looks at; all files where it is not given.
    Raises CheckUnknown before anything is run; a check that fails or cannot run is a result.
    """
    for name in names:
        if name not in CHECKS:
            raise CheckUnknown(f"there is no check {name[:60]!a}", todo=f"Use {', '.join(sorted(CHECKS))}")
    return [await _run(name, tree, sandbox, timeout, changed) for name in dict.fromkeys(names)]


async def _run(
    name: str, tree: Path, sandbox: Sandbox, timeout: float, changed: Sequence[str] | None
) -> CheckResult:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        if reader := _READERS.get(name):
            result = await asyncio.to_thread(reader, Files(tree), changed)
        else:
            result = await _RUNNERS[name](tree, sandbox, timeout)
    except (FactoryError, OSError) as error:
        result = not_run(name, str(error))
    return replace(result, seconds=round(loop.time() - begun, 3))
