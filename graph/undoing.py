"""Taking out of memory what a run claimed whose work does not stand: it failed, or a stage was undone.

A node or a driver can do this twice: what was taken back is not taken back again, and the event has a key.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.json import JsonObject
from graph.again import ending
from graph.remembering import TAKEN_BACK
from graph.runs import Run
from graph.services import Services
from memory.lineage.taking_back import take_back_run

_UNDONE = frozenset({"failed", "rejected", "cancelled"})


async def of_run(services: Services, run: Run) -> None:
    """Take back what a run claimed that has ended without a result; of a completed one, nothing."""
    if run.status in _UNDONE:
        why = f"the run ended {run.status}"
        await _take_back(services, run, why, f"memory/ended{ending(run.rollbacks)}", None)


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
    taken = await take_back_run(memories, run.project, run.id, why=why, sessions=sessions)
    if taken.ids:
        payload: JsonObject = {"ids": list(taken.ids), "restored": list(taken.restored), "why": why}
        await services.events.append(run.id, TAKEN_BACK, payload, key=key, last=True)
