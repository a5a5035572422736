"""`release`: the run's branch becomes part of main, with a tag. Only after a person's review."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core import faults
from graph.lifecycle import move
from graph.services import Services
from graph.state import RunState


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
        commit = await repository.release(run_id, tag=tag, message=title)
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
