"""Taking out of memory what a run claimed whose work does not stand: it failed, or a stage was undone.

A node or a driver can do this twice: what was taken back is not taken back again, and its event is written in
the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from core import logs
from graph.again import ending
from graph.remembering import BROKEN, telling, told_of
from graph.runs import Run
from graph.services import Services
from memory.lineage.taking_back import take_back_run

_log = logs.get(__name__)

_UNDONE = frozenset({"failed", "rejected", "cancelled"})


async def of_run(services: Services, run: Run) -> None:
    """Take back what a run claimed that has ended without a result; of a completed one, nothing.

    Where memory is broken, the run ends all the same: what it claimed is told to no other run.
    """
    if run.status not in _UNDONE:
        return
    why, key = f"the run ended {run.status}", f"memory/ended{ending(run.rollbacks)}"
    try:
        await _take_back(services, run, why, key, None)
    except BROKEN as failure:
        said = told_of(failure)
        _log.warning("memory.not_taken_back", run=run.id, why=said)
        await services.events.append(
            run.id, "memory.failed", {"at": "end", "why": said}, key=f"{key}/failed", last=True
        )


async def conclude(services: Services, run: Run) -> None:
    """The last thing that is done for a run that has ended, once."""
    await of_run(services, run)
    key = f"run.ended{ending(run.rollbacks)}"
    await services.events.append(run.id, "run.ended", {"status": run.status}, key=key, last=True)


async def of_stages(services: Services, run: Run, rollback: int, commit: str) -> None:
    """Take back what stages claimed whose work is not in `commit`, to which the run is rolled back."""
    repository = await services.repository(run.id)
    merged = await services.events.read(run.id, kinds=["stage.merged"])
    undone = [
        f"{run.id}/{(event.key or '').rpartition('/')[0]}"
        for event in merged
        if not await repository.holds(commit, str(event.payload["commit"]))
    ]
    if undone:
        await _take_back(services, run, "the run was rolled back", f"rollback/{rollback}/memory", undone)


async def _take_back(
    services: Services, run: Run, why: str, key: str, sessions: Sequence[str] | None
) -> None:
    # Whatever embedder there is: nothing is embedded here, and the switch of memory does not matter.
    memories = await services.memory.of(run.project, services.models)
    tell = telling(services.events, run.id, why, key)
    await take_back_run(memories, run.project, run.id, why=why, sessions=sessions, tell=tell)
