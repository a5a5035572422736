"""The protocol while it is served: graphs, store, bell, executor. `app.state.protocol`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, cast
from uuid import UUID

from fastapi import Depends
from langgraph.store.base import BaseStore
from psycopg.rows import DictRow
from starlette.requests import HTTPConnection

from api.access import Caller
from api.protocol import assistants, executing, foreign, graphs, intake, tending
from api.protocol.bell import Bell
from api.protocol.executing import Outcome
from api.protocol.executor import Executor
from api.protocol.graphs import Graphs
from api.protocol.own import Own
from api.protocol.recorder import Recorder
from api.protocol.wanted import RunWanted
from api.service import Service
from core.database import Database
from core.tasks import end

PATIENCE: Final = 5.0
"""Seconds for which a server leaves runs of foreign graphs to its workers; then it takes them itself."""


@dataclass(frozen=True)
class AgentProtocol:
    """One per server process."""

    service: Service
    graphs: Graphs
    store: BaseStore
    bell: Bell
    own: Own
    executor: Executor | None = None
    """Begins what is submitted here of foreign graphs; None where others do."""

    @property
    def db(self) -> Database:
        """The database."""
        return self.service.factory.db

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        service: Service,
        *,
        graphs_file: Path | None = None,
        executes: bool = True,
        patience: float = 0.0,
    ) -> AsyncGenerator[AgentProtocol]:
        """Load the graphs, make their assistants, take their runs; raises GraphsInvalid.

        Runs of foreign graphs are left to workers for `patience` seconds. Without `executes` this process
        only answers; another one takes the runs.
        """
        factory = service.factory
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(foreign.store_of(factory.db))
            served = Graphs()
            for pipeline in graphs.of_factory(factory):
                served.add(pipeline)
            if graphs_file is not None:
                for other in (await foreign.load(graphs_file, factory.db, store)).values():
                    served.add(other)
            await assistants.make(factory.db, served)
            bell = await stack.enter_async_context(Bell.open(factory.db))
            own = Own(service, bell)
            work = _Work(served, own)
            executor = Executor(factory.db, bell, work, lambda: served.foreign, patience=patience)
            opened = cls(service, served, store, bell, own, executor if executes and not patience else None)
            if executes:
                follower = Executor(factory.db, bell, work, lambda: served.own, at_once=100)
                await stack.enter_async_context(executor.open())
                await stack.enter_async_context(follower.open())
                tender = asyncio.create_task(tending.tend(opened), name="protocol tending")
                stack.push_async_callback(end, tender)
            yield opened

    async def accept(
        self,
        wanted: RunWanted,
        caller: Caller,
        thread_id: UUID | None,
        *,
        events: bool = False,
    ) -> DictRow:
        """Record a run; the factory's own pipelines go their own way."""
        async with self.db.pool.connection() as conn:
            assistant = await assistants.find(conn, wanted.assistant_id)
        source = self.graphs.get(assistant["graph_id"])
        if wanted.webhook is not None:
            await self.service.webhooks.for_runs(wanted.webhook, by=caller.name)
        if source.of_factory:
            return await self.own.accept(
                assistant, wanted, thread_id=thread_id, caller=caller, protocol=events
            )
        caller.require_project(None)  # what other graphs do is of no project
        return await intake.accept(
            self.db,
            assistant,
            wanted,
            thread_id=thread_id,
            by=caller.name,
            protocol=events,
            beginner=self.executor,
        )


@dataclass(frozen=True)
class _Work:
    """A foreign graph is executed here; a run of the factory's is followed, whoever drives it."""

    graphs: Graphs
    own: Own

    async def __call__(
        self, run: DictRow, recorder: Recorder, wanted: Callable[[], str | None], /
    ) -> Outcome:
        source = self.graphs.get(run["graph_id"])
        if source.of_factory:
            return await self.own.follow(run, recorder, wanted)
        return await executing.execute(run, source, recorder, wanted)


async def _protocol(connection: HTTPConnection) -> AgentProtocol:
    return cast(AgentProtocol, connection.app.state.protocol)


Opened = Annotated[AgentProtocol, Depends(_protocol)]
"""For a route's parameter: `async def route(protocol: Opened)`."""
