"""The graphs that are served, and how one is opened for what a request, or a run, wants of it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol, cast
from uuid import NAMESPACE_OID, UUID, uuid5

from langgraph.graph.state import CompiledStateGraph, StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore
from langgraph_sdk import runtime as sdk_runtime

from api.protocol import loading
from api.protocol.errors import GraphNotFound, GraphsInvalid
from core.fencing import Fence
from core.incarnation import Pool
from graph.checkpoints import FencedSaver
from graph.runner import Factory
from graph.together import Together
from graph.written import Written

Compiled = CompiledStateGraph[Any, Any, Any, Any]
Access = Literal["threads.create_run", "threads.update", "threads.read", "assistants.read"]
"""Why a graph is opened; a factory of graphs is told."""

OF_ASSISTANTS: Final = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
"""Namespace of the ids of assistants that a server makes: as other servers of the protocol compute them."""
OF_RUNS: Final = uuid5(NAMESPACE_OID, "factory/runs")
"""Namespace of the thread ids of the factory's own runs."""


class Source(Protocol):
    """Where a graph comes from."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def description(self) -> str:
        """What it is for."""
        ...

    @property
    def of_factory(self) -> bool:
        """Whether it is a pipeline of the factory's, whose runs are the factory's."""
        ...

    def opened(
        self,
        access: Access,
        config: dict[str, Any],
        context: Any = None,
        fence: Fence | None = None,
        *,
        fresh: bool = False,
    ) -> AbstractAsyncContextManager[Compiled]:
        """The graph, for as long as it is needed. What it writes, it writes under the fence.

        `fresh`: who has that is the first to write on the thread.
        """
        ...


@dataclass(frozen=True)
class Foreign:
    """A graph of a `langgraph.json`."""

    id: str
    description: str
    loaded: object
    checkpoints: Together
    store: BaseStore
    of_factory: bool = False

    @asynccontextmanager
    async def opened(
        self,
        access: Access,
        config: dict[str, Any],
        context: Any = None,
        fence: Fence | None = None,
        *,
        fresh: bool = False,
    ) -> AsyncGenerator[Compiled]:
        """The graph on the server's checkpointer and store."""
        async with AsyncExitStack() as stack:
            made = self.loaded
            if not isinstance(made, Pregel | StateGraph):
                made = await self._make(stack, access, config, context)
            if isinstance(made, StateGraph):
                made = cast(Any, made).compile()
            if not isinstance(made, Pregel):
                raise GraphsInvalid(f"Graph {self.id!r}: its factory gave a {type(made).__name__}")
            written = Written() if fresh else None
            saver = FencedSaver(self.checkpoints.pool, fence, self.checkpoints, written)
            given = {"checkpointer": saver, "store": self.store}
            yield cast(Compiled, cast(Any, made).copy(update=given))

    async def _make(
        self, stack: AsyncExitStack, access: Access, config: dict[str, Any], context: Any
    ) -> object:
        factory = cast(Callable[..., Any], self.loaded)
        runtime = _runtime(access, self.store, context)
        made = factory(**loading.arguments(factory, config, runtime))
        if inspect.isawaitable(made):
            made = await made
        if isinstance(made, AbstractAsyncContextManager):
            return cast(object, await stack.enter_async_context(cast(Any, made)))
        if isinstance(made, AbstractContextManager) and not isinstance(made, Pregel):
            return cast(object, stack.enter_context(cast(Any, made)))
        return made


def _runtime(access: Access, store: BaseStore, context: Any) -> object:
    # The SDK names the two kinds privately, and graphs check for them.
    kinds = cast(Any, sdk_runtime)
    if access == "threads.create_run":
        return kinds._ExecutionRuntime(access_context=access, store=store, context=context)
    return kinds._ReadRuntime(access_context=access, store=store)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline of the factory's, or a line of one team alone."""

    id: str
    description: str
    pipeline: str
    factory: Factory
    of_factory: bool = True

    @asynccontextmanager
    async def opened(
        self,
        access: Access,
        config: dict[str, Any],
        context: Any = None,
        fence: Fence | None = None,
        *,
        fresh: bool = False,
    ) -> AsyncGenerator[Compiled]:
        """The graph, on the checkpoints of the factory's runs. Nobody runs it but the factory's driver."""
        yield await self.factory.graph_of(self.pipeline)


@dataclass
class Graphs:
    """All graphs that are served, by id."""

    by_id: dict[str, Source] = field(default_factory=dict[str, Source])

    def add(self, source: Source) -> None:
        """Serve one more; raises GraphsInvalid where the id is taken."""
        if source.id in self.by_id:
            raise GraphsInvalid(f"There is a graph {source.id!r} already", todo="Give it another name")
        self.by_id[source.id] = source

    def get(self, graph_id: str) -> Source:
        """The graph; raises GraphNotFound."""
        try:
            return self.by_id[graph_id]
        except KeyError:
            raise GraphNotFound(
                f"There is no graph {graph_id[:80]!r}", todo=f"Served are: {', '.join(sorted(self.by_id))}"
            ) from None

    @property
    def foreign(self) -> list[str]:
        """Ids of the graphs that the protocol's own executor runs."""
        return [name for name, source in self.by_id.items() if not source.of_factory]

    @property
    def own(self) -> list[str]:
        """Ids of the factory's pipelines."""
        return [name for name, source in self.by_id.items() if source.of_factory]


def assistant_of(graph_id: str) -> UUID:
    """The id of the assistant that stands for a graph."""
    return uuid5(OF_ASSISTANTS, graph_id)


def of_factory(factory: Factory) -> list[Pipeline]:
    """The factory's pipelines: `factory` is the full one, `factory-NAME` any other, `team-ID` one team."""
    found: list[Pipeline] = []
    for name, description in factory.pipelines().items():
        graph_id = "factory" if name == "full" else f"factory-{name}"
        found.append(Pipeline(graph_id, description, name, factory))
    for team in (factory.registry.team(name) for name in factory.registry.ids):
        found.append(Pipeline(f"team-{team.id}", team.purpose, f"team:{team.id}", factory))
    return found


async def of_file(path: Path, checkpoints: Pool, store: BaseStore) -> Mapping[str, Foreign]:
    """The graphs of a `langgraph.json`; raises GraphsInvalid."""
    file = await asyncio.to_thread(loading.read, path)
    loaded = await asyncio.to_thread(loading.load, file)
    together = Together(checkpoints)
    return {
        name: Foreign(name, file.descriptions.get(name, ""), value, together, store)
        for name, value in loaded.items()
    }
