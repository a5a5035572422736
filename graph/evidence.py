"""Evidence for the gate, gathered from the worktree itself: files, paths, checks."""

from __future__ import annotations

import asyncio

from graph.checking import as_recorded, check_stage, payload
from graph.gate import Evidence
from graph.loops import detect
from graph.repairing import unresolved
from graph.stage_context import StageContext
from graph.state import StageState
from teams.contract import TaskResult
from teams.globs import any_matches, matches
from workspace.checks import CheckResult
from workspace.mail.message import is_mail


async def gather(stage: StageContext, state: StageState) -> Evidence:
    """What is true of the stage's worktree at its last snapshot, and what the team says of it."""
    team = stage.team_in(state)
    result = TaskResult.model_validate(state["result"]) if state.get("result") else None
    exhausted, loop = state.get("exhausted", ""), detect(state["trace"])
    checks: tuple[CheckResult, ...] = ()
    tree = await stage.tree(state)
    sizes = await (await stage.repository(state)).sizes(state["head"])
    repair = state.get("repair")
    missing = tuple(pattern for pattern in team.deliverables if not _filled(pattern, sizes))
    changed = await tree.changed()
    outside = tuple(path for path in changed if is_mail(path) or not any_matches(team.paths, path))
    supply = await stage.services.supply(state["run_id"], tree)
    claims_it = result is not None and result.status == "COMPLETE"
    if claims_it and not exhausted and not loop:
        ran: list[CheckResult] = []
        services, run_id = stage.services, state["run_id"]
        for check in await check_stage(services, run_id, team.checks, tree, state["head"]):
            suffix = f"check/{attempt_key(state)}/{check.name}"
            heir = _left_to(stage, state) if check.name == "tests" and check.passed is False else ""
            evidence = await payload(services, run_id, stage.key(state), check)
            told = await stage.event(
                state, "check.ran", {**evidence, **({"left_to": heir} if heir else {})}, suffix
            )
            if not told.payload.get("left_to"):
                ran.append(as_recorded(check, told))
        checks = tuple(ran)
    return Evidence(
        result=result,
        exhausted=exhausted,
        loop=loop,
        missing=missing,
        outside=outside,
        unsupplied=tuple(refusal.sentence for refusal in supply.refused),
        unresolved=await asyncio.to_thread(unresolved, state, tree) if state["marked"] else (),
        checks=checks,
        unchecked=() if checks else team.checks,
        threshold=team.threshold,
        attempt=state["attempt"],
        retries=team.limits.repairs - 1 if repair else team.limits.retries,
        clarifications_left=team.limits.clarifications - state["clarifications"],
    )


def _left_to(stage: StageContext, state: StageState) -> str:
    """Who answers for tests that still fail; empty where this team does.

    A change that several teams make together is whole only when the last of them is done. So a team is told
    once of tests that fail; where they fail still, they are left to the last team that has the check, then to
    the validation.
    """
    if not state.get("change") or state.get("repair") or state["attempt"] == 1:
        return ""
    later = stage.team_ids[stage.team_ids.index(stage.team.id) + 1 :]
    at_work = (stage.services.registry.team(team) for team in later if team not in state["skipped"])
    return next((team.id for team in reversed([*at_work]) if "tests" in team.checks), "")


def attempt_key(state: StageState) -> str:
    """Tells one ruling from the next: attempt, passages of the gate and answers from people so far."""
    return f"{state['attempt']}.{state['passages']}.{state['escalations']}"


def _filled(pattern: str, sizes: dict[str, int]) -> bool:
    return any(size > 0 and matches(pattern, path) for path, size in sizes.items())
