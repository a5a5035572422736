"""The checks of a run: on a stage's worktree or on the merged whole, against what the run started from."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from core.errors import FactoryError
from core.events import Event
from core.json import JsonObject
from graph.services import Services
from workspace import project_settings
from workspace.checks import CHECKS, Baseline, CheckResult, Tick, run_checks
from workspace.checks.result import Artifact, not_run
from workspace.files import Files
from workspace.project_settings import ProjectSettings, ProjectSettingsInvalid
from workspace.stage import StageTree

BASELINE: Final = "baseline"
"""Name of the worktree in which the commit that a run started from is looked at."""
SETTINGS: Final = "settings"
"""Name of the result that says that project.toml cannot be used."""

_TOLD_DETAILS: Final = 20


async def check_stage(
    services: Services, run_id: str, names: Sequence[str], tree: StageTree, head: str
) -> list[CheckResult]:
    """Run a team's checks on its worktree, which is at `head`; with `tests` those of project.toml."""
    if not names:
        return []
    return await _check(services, run_id, names, tree, head, whole=False)


async def check_whole(
    services: Services, run_id: str, names: Sequence[str], tree: StageTree, head: str
) -> list[CheckResult]:
    """Run every check there is on the merged whole. `names` are those that may not be missing."""
    wanted = {*CHECKS, *names}
    if "tests" not in names and not await asyncio.to_thread(_has_tests, tree.files):
        wanted.remove("tests")  # nobody answers for tests here, and there are none
    results = await _check(services, run_id, sorted(wanted), tree, head, whole=True)
    repository = await services.repository(run_id)
    if BASELINE in await repository.open_stages(run_id):  # left by a process that was killed
        await repository.close_stage(await services.tree(run_id, BASELINE))
    return results


def against(results: Sequence[CheckResult], needed: Sequence[str]) -> list[str]:
    """What speaks against a tree, in words: what failed, and what is needed and could not run."""
    return [
        f"`{check.name}` {'failed' if check.passed is False else 'could not run'}: {check.summary}"
        for check in results
        if check.passed is False
        or (check.passed is None and not check.idle and (check.name in needed or check.name not in CHECKS))
    ]


def _has_tests(files: Files) -> bool:
    return bool(files.list("**/test_*.py") or files.list("**/*_test.py"))


async def _check(
    services: Services, run_id: str, names: Sequence[str], tree: StageTree, head: str, *, whole: bool
) -> list[CheckResult]:
    project = await services.project_of(run_id)
    repository = await services.repository(run_id)
    base = await services.base_of(run_id)
    problems: list[CheckResult] = []
    settings = ProjectSettings()
    try:
        settings = await _settings(services, project, base)
    except ProjectSettingsInvalid as invalid:
        if whole or "tests" in names:
            problems.append(not_run(SETTINGS, str(invalid)))
    changed = await repository.changed(base, head) if base else None
    libraries = (await services.supply(run_id, tree)).libraries
    results = await run_checks(
        names,
        tree.path,
        services.sandbox.with_libraries(libraries),
        settings=settings,
        changed=changed,
        baseline=await _baseline(services, run_id, base),
        thorough=whole,
        advisories=services.settings.advisories,
        wheelhouse=_wheelhouse(services, settings),
    )
    return [*results, *problems]


async def _settings(services: Services, project: str, base: str | None) -> ProjectSettings:
    """What the operator's file says now, and the repository's as it was when the run began: a run's own
    models have no say in how they are judged."""
    in_repository = None
    if base:
        in_repository = await (await services.project(project)).read(base, project_settings.FILE)
    load = partial(project_settings.load, services.settings.home, project, in_repository)
    return (await asyncio.to_thread(load)).settings


async def _baseline(services: Services, run_id: str, base: str | None) -> Baseline | None:
    """What the checks say of the commit that the run started from; None where that has no file."""
    repository = await services.repository(run_id)
    key = f"{repository.name}@{base}"
    if base and key not in services.baselines:
        has_files = bool(await repository.files(base))
        checkout = partial(_base_tree, services, run_id, base)
        services.baselines.setdefault(key, Baseline(base, checkout) if has_files else None)
    return services.baselines.get(key)


def _wheelhouse(services: Services, settings: ProjectSettings) -> Path | None:
    given = settings.dependencies.wheelhouse
    return Path(given) if given else services.settings.wheelhouse


@asynccontextmanager
async def _base_tree(services: Services, run_id: str, base: str) -> AsyncGenerator[Path]:
    tree = await services.tree(run_id, BASELINE, base=base)
    try:
        await tree.restore(base)
        yield tree.path
    finally:
        await (await services.repository(run_id)).close_stage(tree)


async def keep(services: Services, run_id: str, where: str, artifact: Artifact) -> JsonObject:
    """Write a check's artifact beside the project, once, and say where it is."""
    project = (await services.repository(run_id)).name
    folder = services.settings.home / "projects" / project / "artifacts" / run_id / where
    path = folder / artifact.name
    await asyncio.to_thread(_write, path, artifact.content)
    digest = hashlib.sha256(artifact.content).hexdigest()
    return {"name": artifact.name, "path": str(path), "sha256": digest, "bytes": len(artifact.content)}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    os.replace(fresh, path)


async def payload(services: Services, run_id: str, where: str, check: CheckResult) -> JsonObject:
    """A check's outcome for the event log; its artifacts are kept first."""
    told: dict[str, Any] = {
        "name": check.name,
        "passed": check.passed,
        "score": check.score,
        "summary": check.summary,
        "weight": check.weight,
        "seconds": check.seconds,
    }
    if check.idle:
        told["idle"] = True
    if check.ticks:
        told["ticks"] = [{"what": t.what, "passed": t.passed, "said": t.said} for t in check.ticks]
    if check.details:
        told["details"] = list(check.details[:_TOLD_DETAILS])
    if check.before:
        told["before"] = list(check.before)
    artifacts: list[JsonObject] = []
    for artifact in check.artifacts:
        try:
            artifacts.append(await keep(services, run_id, where, artifact))
        except (FactoryError, OSError) as error:
            told["artifacts_lost"] = str(error)[:300]
    if artifacts:
        told["artifacts"] = artifacts
    return told


def as_recorded(check: CheckResult, told: Event) -> CheckResult:
    """The check as the log has it: when a node runs again after a crash, its first outcome counts."""
    payload: dict[str, Any] = told.payload
    if payload["passed"] == check.passed:
        return check
    return replace(
        check,
        passed=None if payload["passed"] is None else bool(payload["passed"]),
        score=int(payload["score"]),
        summary=str(payload["summary"]),
        details=tuple(str(line) for line in payload.get("details", ())),
        before=tuple(str(line) for line in payload.get("before", ())),
        ticks=tuple(Tick(str(t["what"]), t["passed"], str(t["said"])) for t in payload.get("ticks", ())),
        idle=bool(payload.get("idle")),
        artifacts=(),
    )
