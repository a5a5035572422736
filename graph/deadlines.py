"""Until when a run's questions may be answered, by what the operator set for its project."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.database import Database
from core.settings import Settings
from governance.approvals import Kind
from graph.runs import Runs
from workspace import project_settings


@dataclass(frozen=True)
class ProjectDeadlines:
    """Reads `[deadlines]` of the operator's file each time that something is asked."""

    settings: Settings
    runs: Runs
    db: Database

    async def __call__(self, run_id: str, kind: Kind) -> datetime | None:
        """When a question of this kind that is asked now expires; None where it never does."""
        project = (await self.runs.get(run_id)).project
        told = await project_settings.operators(self.settings.home, project)
        lasts = told.deadlines.of(kind)
        return None if lasts is None else await self.db.now() + lasts
