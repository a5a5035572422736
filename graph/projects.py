"""Projects as every surface shows them: what is set, who works, how many runs there are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from core import clock
from core.database import Database
from core.errors import NotFound
from graph import queries
from graph.services import Services
from workspace import project_settings
from workspace.project_settings import Loaded
from workspace.projects import Workspace


@dataclass(frozen=True, slots=True)
class Project:
    """A project and its runs."""

    name: str
    created_at: datetime
    runs: int
    live: int
    """Runs that have not ended."""
    last_run: str | None
    """The newest run."""


async def listed(
    db: Database, *, after: str | None = None, limit: int = 50, names: Sequence[str] | None = None
) -> list[Project]:
    """At most `limit` projects by name, of those after a name; of `names` only, where they are given."""
    async with db.pool.connection() as conn:
        rows: list[dict[str, Any]] = await queries.page_of_projects(
            conn, after=after, limit=limit, names=None if names is None else [*names]
        )
    return [Project(**row) for row in rows]


async def get(db: Database, name: str) -> Project:
    """One project. Raises NotFound."""
    found = await listed(db, limit=1, names=[name]) if name.isprintable() else []
    if not found:
        raise NotFound(
            f"There is no project {name[:80]!a}", todo="`factory project list` names those that there are"
        )
    return found[0]


async def create(services: Services, name: str, *, source: Path | None = None) -> Project:
    """Make a project: empty, or with the history of `source`. What is there already stays as it is."""
    repository = await services.workspace.project(name, source=source)
    async with services.db.pool.connection() as conn:
        await queries.open_project(conn, clock.new_id("project"), name, str(repository.path))
    return await get(services.db, name)


async def settings(home: Path, workspace: Workspace, name: str) -> Loaded:
    """What is set for a project, and what of the repository's own file is left out."""
    text = None
    if workspace.has(name):
        repository = await workspace.project(name)
        text = await repository.read("refs/heads/main", project_settings.FILE)
    return await asyncio.to_thread(project_settings.load, home, name, text)
