"""`release`: the run's branch becomes part of main, with a tag. Only after a person's review."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core import faults
from graph.lifecycle import move
from graph.services import Services
from graph.state import RunState
from workspace.errors import MergeConflict, TagTaken


@dataclass(frozen=True)
class Release:
    """The node that releases."""

    services: Services

    async def release(self, state: RunState) -> dict[str, Any]:
        """Merge, tag, record. A second time it finds its own work and changes nothing."""
        services, run_id = self.services, state["run_id"]
        repository = await services.repository(run_id)
        tag = f"factory-{run_id}"
        title = state.get("title") or "Release"
        try:
            commit = await repository.release(run_id, tag=tag, message=title)
        except (MergeConflict, TagTaken) as refused:
            # Trying again would not help: the run ends, and its work stays on its branch.
            reason = f"not released: {refused} The work is on the branch factory/{run_id}."
            await move(services.db, services.events, run_id, "failed", key="release/failed", failure=reason)
            return {"halted": f"failed: {reason}"}
        faults.point("release.merged")
        await services.runs.set_result(run_id, tag, commit)
        await services.events.append(
            run_id,
            "release.done",
            {"tag": tag, "commit": commit, "repository": str(repository.path)},
            key="release/done",
        )
        await move(services.db, services.events, run_id, "completed", key="release/completed")
        return {}
