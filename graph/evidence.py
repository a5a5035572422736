"""Evidence for the gate, gathered from the worktree itself: files, paths, checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.events import Event
from core.json import JsonObject
from graph.gate import Evidence
from graph.loops import detect
from graph.stage_context import StageContext
from graph.state import StageState
from teams.contract import TaskResult
from teams.globs import any_matches, matches
from workspace.checks import CheckResult, run_checks


async def gather(stage: StageContext, state: StageState) -> Evidence:
    """What is true of the stage's worktree at its last snapshot, and what the team says of it."""
    team = stage.team
    result = TaskResult.model_validate(state["result"]) if state.get("result") else None
    exhausted, loop = state.get("exhausted", ""), detect(state["trace"])
    checks: tuple[CheckResult, ...] = ()
    tree = await stage.tree(state)
    sizes = await (await stage.repository(state)).sizes(state["head"])
    missing = tuple(pattern for pattern in team.deliverables if not _filled(pattern, sizes))
    outside = tuple(path for path in await tree.changed() if not any_matches(team.paths, path))
    claims_it = result is not None and result.status == "COMPLETE"
    if claims_it and not exhausted and not loop:
        ran: list[CheckResult] = []
        for check in await run_checks(team.checks, tree.path, stage.services.sandbox):
            suffix = f"check/{attempt_key(state)}/{check.name}"
            ran.append(
                as_recorded(check, await stage.event(state, "check.ran", check_payload(check), suffix))
            )
        checks = tuple(ran)
    return Evidence(
        result=result,
        exhausted=exhausted,
        loop=loop,
        missing=missing,
        outside=outside,
        checks=checks,
        unchecked=() if checks else team.checks,
        threshold=team.threshold,
        attempt=state["attempt"],
        retries=team.limits.retries,
        clarifications_left=team.limits.clarifications - state["clarifications"],
    )


def attempt_key(state: StageState) -> str:
    """Tells one ruling from the next: attempt, passages of the gate and answers from people so far."""
    return f"{state['attempt']}.{state['passages']}.{state['escalations']}"


def as_recorded(check: CheckResult, told: Event) -> CheckResult:
    """The check as the log has it: when a node runs again after a crash, its first outcome counts."""
    passed = told.payload["passed"]
    if passed == check.passed:
        return check
    summary = str(told.payload["summary"])
    return replace(check, passed=None if passed is None else bool(passed), summary=summary, details=())


def check_payload(check: CheckResult) -> JsonObject:
    """A check's outcome for the event log."""
    return {"name": check.name, "passed": check.passed, "score": check.score, "summary": check.summary}


def failed(checks: Sequence[CheckResult]) -> list[str]:
    """The checks that speak against a tree, in words: those that failed and those that could not run."""
    return [
        f"`{check.name}` {'failed' if check.passed is False else 'could not run'}: {check.summary}"
        for check in checks
        if check.passed is not True
    ]


def _filled(pattern: str, sizes: dict[str, int]) -> bool:
    return any(size > 0 and matches(pattern, path) for path, size in sizes.items())
