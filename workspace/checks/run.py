"""Runs checks by name, and judges what they see against the commit that the run started from."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from core.errors import FactoryError
from workspace.checks import (
    audit,
    browser,
    commands,
    compose,
    dockerfile,
    documents,
    licences,
    links,
    lint,
    openapi,
    secrets,
    tests,
    types,
)
from workspace.checks.baseline import Baseline
from workspace.checks.judging import judge_findings, judge_suite
from workspace.checks.result import CheckResult, CheckUnknown, Findings, not_run
from workspace.checks.scene import Report, Scene
from workspace.checks.suite import Suite
from workspace.declared import DeclaredCheck
from workspace.files import Files
from workspace.project_settings import ProjectSettings
from workspace.sandbox import Sandbox

_Look = Callable[[Scene], Awaitable[Report]]


@dataclass(frozen=True, slots=True)
class _Check:
    """One of the factory's own checks."""

    look: _Look
    weight: int
    """What it counts for in the score; docs/checks.md says why."""


def _reading(look: Callable[[Files], Findings | CheckResult]) -> _Look:
    """A check that only reads files, beside the event loop."""

    async def in_thread(scene: Scene) -> Report:
        return await asyncio.to_thread(look, scene.files)

    return in_thread


_OWN: Mapping[str, _Check] = {
    "tests": _Check(tests.look, 30),
    "secrets": _Check(_reading(secrets.look), 15),
    "types": _Check(types.look, 8),
    "lint": _Check(lint.look, 8),
    "links": _Check(_reading(links.look), 4),
    "json": _Check(_reading(documents.look), 4),
    "openapi": _Check(openapi.look, 6),
    "dockerfile": _Check(_reading(dockerfile.look), 5),
    "compose": _Check(_reading(compose.look), 5),
    "browser": _Check(browser.look, 10),
    "audit": _Check(audit.look, 10),
    "licences": _Check(licences.look, 3),
}

CHECKS = frozenset(_OWN)
"""The names of the factory's own checks."""


async def run_checks(
    names: Sequence[str],
    tree: Path,
    sandbox: Sandbox,
    *,
    timeout: float = 120,
    settings: ProjectSettings | None = None,
    changed: Sequence[str] | None = None,
    baseline: Baseline | None = None,
    thorough: bool = False,
    advisories: Path | None = None,
    wheelhouse: Path | None = None,
) -> list[CheckResult]:
    """Run the named checks on a worktree, one after the other, each command at most `timeout` seconds.

    With a `baseline` what was wrong there is named and does not fail; it is looked at only where something is
    wrong now, or, for tests, where the look is `thorough`, so that tests that are gone are named too.
    Where the look is thorough, or `tests` is among the names, the checks that `settings` declare are run too.
    `changed` are the paths that the run changed; `advisories` and `wheelhouse` are
    the operator's folders. Raises CheckUnknown before anything is run; a check that
    fails or cannot run is a result.
    """
    for name in names:
        if name not in CHECKS:
            raise CheckUnknown(f"there is no check {name[:60]!a}", todo=f"Use {', '.join(sorted(CHECKS))}")
    scene = Scene(tree, sandbox, timeout, settings or ProjectSettings(), changed, advisories, wheelhouse)
    wanted = [(name, _OWN[name]) for name in dict.fromkeys(names)]
    if thorough or "tests" in names:
        wanted += [(each.name, _declared(each)) for each in scene.settings.checks]
    return [await _run(name, check, scene, baseline, thorough) for name, check in wanted]


def _declared(check: DeclaredCheck) -> _Check:
    return _Check(partial(commands.look, check), check.weight)


async def _run(
    name: str, check: _Check, scene: Scene, baseline: Baseline | None, thorough: bool
) -> CheckResult:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        result = await _judged(name, check, scene, baseline, thorough)
    except (FactoryError, OSError) as error:
        result = not_run(name, str(error))
    return replace(result, seconds=round(loop.time() - begun, 3), weight=check.weight)


async def _judged(
    name: str, check: _Check, scene: Scene, baseline: Baseline | None, thorough: bool
) -> CheckResult:
    now = await check.look(scene)
    if isinstance(now, CheckResult):
        return now

    async def look(tree: Path) -> Report:
        return await check.look(replace(scene, tree=tree))

    before: Report | None = None
    if baseline is not None and (_is_wrong(now) or (thorough and isinstance(now, Suite))):
        before = await baseline.report(name, look)
    if isinstance(now, Findings):
        return judge_findings(name, now, before if isinstance(before, Findings) else None)
    return judge_suite(name, now, before if isinstance(before, Suite) else None)


def _is_wrong(report: Findings | Suite) -> bool:
    if isinstance(report, Findings):
        return bool(report.problems)
    return bool(report.broken or report.exit_code or report.named("failed"))
