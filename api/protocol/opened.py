"""The protocol while it is served: graphs, store, bell, executor. `app.state.protocol`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import Depends
from langgraph.store.base import BaseStore
from langgraph.store.postgres.aio import AsyncPostgresStore
from psycopg.rows import DictRow
from starlette.requests import HTTPConnection

from api.protocol import assistants, executing, graphs, tending
from api.protocol.bell import Bell
from api.protocol.executing import Outcome
from api.protocol.executor import Executor
from api.protocol.graphs import Graphs
from api.protocol.own import Own
from api.protocol.recorder import Recorder
from api.service import Service
from core.database import Database
from core.incarnation import Pool
from core.tasks import end


@dataclass(frozen=True)
class AgentProtocol:
    """One per server process."""

    service: Service
    graphs: Graphs
    store: BaseStore
    bell: Bell
    own: Own
    executor: Executor | None = None
    """Of foreign graphs; None where this process only answers."""

    @property
    def db(self) -> Database:
        """The database."""
        return self.service.factory.db

    @classmethod
    @asynccontextmanager
    async def open(
        cls, service: Service, *, graphs_file: Path | None = None, executes: bool = True
    ) -> AsyncGenerator[AgentProtocol]:
        """Load the graphs, make their assistants, take their runs; raises GraphsInvalid.

        Without `executes` this process only answers; another one takes the runs.
        """
        factory = service.factory
        checkpoints = cast(Pool, (await factory.db.checkpointer()).conn)
        async with AsyncExitStack() as stack:
            # The pool has the service's rights and search path, which the store relies on.
            store = AsyncPostgresStore(cast(Any, factory.db.pool))
            stack.push_async_callback(_stop, store)
            served = Graphs()
            for pipeline in graphs.of_factory(factory):
                served.add(pipeline)
            if graphs_file is not None:
                for foreign in (await graphs.of_file(graphs_file, checkpoints, store)).values():
                    served.add(foreign)
            await assistants.make(factory.db, served)
            bell = await stack.enter_async_context(Bell.open(factory.db))
            own = Own(service, bell)
            work = _Work(served, own)
            executor = Executor(factory.db, bell, work, lambda: served.foreign) if executes else None
            opened = cls(service, served, store, bell, own, executor)
            if executor is not None:
                follower = Executor(factory.db, bell, work, lambda: served.own, at_once=100)
                await stack.enter_async_context(executor.open())
                await stack.enter_async_context(follower.open())
                tender = asyncio.create_task(tending.tend(opened), name="protocol tending")
                stack.push_async_callback(end, tender)
            yield opened


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


async def _stop(store: AsyncPostgresStore) -> None:
    # It has a task that batches its work, and no way to close it but this.
    task = cast("asyncio.Task[None]", cast(Any, store)._task)
    await end(task)


async def _protocol(connection: HTTPConnection) -> AgentProtocol:
    return cast(AgentProtocol, connection.app.state.protocol)


Opened = Annotated[AgentProtocol, Depends(_protocol)]
"""For a route's parameter: `async def route(protocol: Opened)`."""
