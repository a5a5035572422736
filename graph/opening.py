"""The memory of a run's project, as a stage of the run has it: with whose models, by which settings."""

from __future__ import annotations

from dataclasses import dataclass

from graph.stage_context import StageContext
from graph.state import StageState
from memory.service import Memories
from models.service import Models
from workspace.project_settings import MemorySettings


@dataclass(frozen=True, slots=True)
class ProjectMemory:
    """An open memory."""

    project: str
    settings: MemorySettings
    models: Models
    """The team's, in this run."""
    memories: Memories


async def opened(stage: StageContext, state: StageState) -> ProjectMemory | None:
    """The memory of the project; None where it is switched off. Raises FactoryError."""
    services = stage.services
    project = await services.project_of(state["run_id"])
    settings = await services.memory.settings(project)
    if not settings.enabled:
        return None
    models = await services.models_for(state["run_id"], stage.team.id)
    return ProjectMemory(project, settings, models, await services.memory.of(project, models))
