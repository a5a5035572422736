"""The memory that a command is about, opened: banks by project and team, and memories by id."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from cli.screen import one_line
from core.database import Database
from core.errors import NotFound
from core.settings import Settings
from graph.memories import SourceShown, no_team
from memory.records import SHARED
from memory.service import Memories
from memory.weights import Weights
from models.embeddings.local import LocalEmbedder
from models.service import Models
from teams.registry import Registry
from workspace import policies
from workspace.projects import Workspace, is_project_name


@asynccontextmanager
async def opened(project: str | None = None) -> AsyncGenerator[Memories]:
    """The memory that the settings name; with the embedder of `project`, where texts are to be compared."""
    settings = Settings.load()
    async with Database.open(settings) as db:
        if project is None:
            async with Memories.open(db, LocalEmbedder()) as memories:
                yield memories
            return
        async with (
            await Models.open(settings, db) as models,
            Memories.open(
                db,
                await models.view(project=project).embedder(),
                weights=Weights.of(settings.recall_weights),
            ) as memories,
        ):
            yield memories


class Here:
    """What there is in the factory that the settings name; read when it is asked."""

    def has_project(self, project: str) -> None:
        """Raises NotFound where there is no such project."""
        known = is_project_name(project) and Workspace(Settings.load()).has(project)
        if not known:
            raise NotFound(
                f"There is no project {project[:80]!a}",
                todo="`factory project list` names the projects that there are",
            )

    def is_team(self, name: str) -> None:
        """Raises NotFound where there is no such team."""
        if name == SHARED:
            return
        settings = Settings.load()
        registry = Registry.load(settings.pack, settings.pack_dirs, sandboxes=policies.load(settings).by_name)
        if name not in registry.ids:
            raise no_team(name)


def said_by(source: SourceShown) -> str:
    """Where a memory is from, on one line: run, stage, file and line."""
    file = f", {source.path}" + (f":{source.line}" if source.line else "") if source.path else ""
    return one_line(f"said in {source.run_id}, {source.stage}{file} (event {source.seq})", 300)
