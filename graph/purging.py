"""Purging a run that is over: what it said and what it could go on from is removed, once its date has come.

What happened stays proven. The chain of events stays as it is, each text that goes leaves its mark in it, and
the event `run.purged` says who removed what was there, and why. The run's row stays too, without its words,
with what it cost; so do the product in git and what the teams have learnt, which are the project's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core import faults
from core.errors import BadInput
from core.texts import MARK
from graph import cleaning, queries
from graph.lifecycle import ENDED
from graph.runs import Run
from graph.services import Services
from memory.audit.forgetting import TextMissing, forget_text

PURGED: Final = "run.purged"
_NOTHING: Final = "Nothing was removed"


class PurgeRefused(BadInput):
    """The run cannot be purged now."""

    http_status = 409


class RunPurged(BadInput):
    """The run was purged: what that would need is not there any more."""

    http_status = 409


@dataclass(frozen=True, slots=True)
class Purged:
    """What was removed of a run; a second time that is little or nothing."""

    run_id: str
    kept_until: datetime
    """Until when it had to be kept."""
    texts: int
    """Texts beside its events."""
    rows: int
    """Rows of checkpoints and of questions, and its own."""
    worktrees: int


def kept_until(run: Run, days: int) -> datetime | None:
    """Before when a run may not be purged, if runs are kept for so many days; None while it is not over."""
    return None if run.ended_at is None else run.ended_at + timedelta(days=days)


def require_whole(run: Run, untouched: str) -> None:
    """Raises RunPurged where the run was."""
    if run.purged:
        raise RunPurged(
            f"Run {run.id} was purged: neither what it was given nor what it could go on from is there",
            untouched=untouched,
            todo="Begin anew, or change the project",
        )


async def purge(services: Services, run_id: str, *, by: str, reason: str = "") -> Purged:
    """Remove what an ended run said and kept, each thing once; after a crash, again. Raises PurgeRefused."""
    async with services.holds.hold(run_id) as hold:
        if hold is None:
            raise PurgeRefused(f"A process works on run {run_id}", untouched=_NOTHING, todo="Wait for it")
        with hold.entered():
            run = await services.run(run_id)
            until = await _due(services, run)
            await _mark(services, run, until, by, reason)
            faults.point("purge.marked")
            texts = await _forget(services, run_id, by)
            async with services.db.pool.connection() as conn, conn.transaction():
                rows = await queries.remove_words(conn, run_id, MARK)
    repository = await services.project(run.project)
    cleaned = await cleaning.clean(services.db, services.runs, repository, only=run_id)
    worktrees = sum(len(one.stages) for one in cleaned if one.removed)
    return Purged(run_id, until, texts, rows, worktrees)


async def _due(services: Services, run: Run) -> datetime:
    until = kept_until(run, services.settings.retention_days)
    if until is None or run.status not in ENDED:
        raise PurgeRefused(
            f"Run {run.id} is {run.status}: it has not ended",
            untouched=_NOTHING,
            todo=f"End it first: factory cancel {run.id}",
        )
    if await services.db.now() < until:
        raise PurgeRefused(
            f"Run {run.id} ended at {run.ended_at:%Y-%m-%d %H:%M} UTC and is kept until "
            f"{until:%Y-%m-%d %H:%M} UTC",
            untouched=_NOTHING,
            todo=f"Come back then; FACTORY_RETENTION_DAYS is {services.settings.retention_days}",
        )
    return until


async def _mark(services: Services, run: Run, until: datetime, by: str, reason: str) -> None:
    """From here on the run counts as purged, whatever of it is still there."""
    said = {"by": by, "reason": reason, "kept_until": until.isoformat(), "rollbacks": run.rollbacks}
    async with services.db.pool.connection() as conn, conn.transaction():
        await queries.mark_purged(conn, run.id)
        await services.events.note(conn, run.id, PURGED, said, key=PURGED)


async def _forget(services: Services, run_id: str, by: str) -> int:
    gone = 0
    for (seq, name), kept in (await services.events.texts(run_id)).items():
        if kept.state == "forgotten":
            continue
        try:
            await forget_text(services.db, run_id, seq, name, why="the run was purged", by=by)
        except TextMissing:
            continue  # somebody else was quicker
        gone += 1
    return gone
