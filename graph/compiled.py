"""The pipelines of a process: as the pack has them, and compiled once for each model that drives runs."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph

from core.redaction import redact
from graph import dag
from graph.pipeline import build_pipeline
from graph.services import Services
from models.errors import ModelUnavailable
from models.service import Models

Graph = CompiledStateGraph[Any, Any, Any, Any]


@dataclass
class Graphs:
    """The compiled graphs. `stack` closes the models that are opened for runs of other models."""

    services: Services
    checkpointer: BaseCheckpointSaver[Any]
    model: str | None
    """The model of `services`, as runs record it."""
    stack: AsyncExitStack = field(repr=False)
    _others: dict[str | None, Services] = field(default_factory=dict[str | None, Services], repr=False)
    _compiled: dict[tuple[str | None, str], Graph] = field(
        default_factory=dict[tuple[str | None, str], Graph], repr=False
    )

    def pipeline(self, name: str) -> dag.Pipeline:
        """A pipeline of the pack, or `team:ID`, one team alone; raises UnknownPipeline or PipelineInvalid."""
        registry = self.services.registry
        text, where = registry.pack_file("pipeline.toml")
        alone = name.removeprefix(dag.ALONE)
        if alone != name and alone in registry.ids:
            return dag.alone(name, alone, registry.team(alone).purpose)
        return dag.load(text, name, registry.ids, where=where)

    def pipelines(self) -> dict[str, str]:
        """The pack's pipelines, with what each is for."""
        text, where = self.services.registry.pack_file("pipeline.toml")
        return {name: self.pipeline(name).description for name in dag.names(text, where=where)}

    async def of(self, model: str | None, pipeline: str) -> Graph:
        """The graph of a pipeline, driven by this model. Raises ModelUnavailable."""
        key = (model, pipeline)
        if key not in self._compiled:
            services = await self._services(model)
            self._compiled[key] = build_pipeline(services, self.pipeline(pipeline), self.checkpointer)
        return self._compiled[key]

    async def _services(self, model: str | None) -> Services:
        services = self.services
        if model == self.model:
            return services
        if model not in self._others:
            models = await Models.open(services.settings, services.db, override=model, guard=services.budgets)
            await self.stack.enter_async_context(models)
            if model is None and models.is_offline:
                # A run of real models is never finished by the script, however long Ollama is away.
                raise ModelUnavailable(
                    f"No Ollama answers at {redact(services.settings.ollama_url)}, "
                    "and the run was started with its models",
                    untouched="The run waits where it stopped",
                    todo="Start it with `ollama serve`, or set FACTORY_OLLAMA_URL, and resume the run",
                )
            self._others[model] = replace(services, models=models)
        return self._others[model]
