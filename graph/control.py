"""Cancelling, pausing and resuming a run, whichever process drives it.

What is wanted is written down first (graph/wanted.py). A process that drives the run sees it within a second
and obeys; where none does, it is done here.
"""

from __future__ import annotations

from collections.abc import Iterable

from graph import undoing, wanted
from graph.lifecycle import ENDED, WAITING, move, unpause
from graph.services import Services


async def cancel(services: Services, run_id: str, *, by: str, reason: str = "") -> None:
    """Have a run end as `cancelled`. What it merged stays on its branch; its open questions are closed.

    Raises NotFound, and RunOver where it has ended.
    """
    await wanted.want(services.db, services.events, run_id, "cancel", by=by, reason=reason)
    await settle(services, run_id)


async def pause(services: Services, run_id: str, *, by: str, reason: str = "") -> None:
    """Have a run stand still, and its questions stay open, until it is resumed.

    Raises NotFound, RunOver, BeingCancelled.
    """
    await wanted.want(services.db, services.events, run_id, "pause", by=by, reason=reason)
    await settle(services, run_id)


async def resume(services: Services, run_id: str, *, by: str) -> bool:
    """Let a run go on that a person paused; False where nobody had. Does not drive it.

    Raises NotFound, RunOver, BeingCancelled.
    """
    released = await wanted.release(services.db, services.events, run_id, by=by)
    if released and not await _stands_for_a_budget(services, run_id):
        await unpause(services.db, services.events, run_id)
    return released


async def settle(services: Services, run_id: str) -> None:
    """Do what is wanted of a run, unless somebody drives it, who does it then."""
    async with services.holds.hold(run_id) as hold:
        if hold is not None:
            with hold.entered():
                await obey(services, run_id)


async def settle_all(services: Services, run_ids: Iterable[str]) -> None:
    """The same for several runs."""
    for run_id in run_ids:
        await settle(services, run_id)


async def obey(services: Services, run_id: str) -> bool:
    """Do what is wanted of a run; whether anything was. Only for who holds it."""
    run = await services.run(run_id)
    if run.wanted is None or run.status in ENDED:
        return False
    if run.wanted.what == "pause":
        if run.status != "paused":
            await move(services.db, services.events, run_id, "paused")
        return True
    because = f": {run.wanted.reason}" if run.wanted.reason else ""
    await move(
        services.db, services.events, run_id, "cancelled", failure=f"cancelled by {run.wanted.by}{because}"
    )
    await undoing.conclude(services, await services.run(run_id))
    return True


async def stands_still(services: Services, run_id: str) -> bool:
    """Whether a person has paused the run, and it does stand still."""
    run = await services.run(run_id)
    return run.status in WAITING and run.wanted is not None and run.wanted.what == "pause"


async def _stands_for_a_budget(services: Services, run_id: str) -> bool:
    return any(asked.kind == "budget" for asked in await services.approvals.pending(run_id))
