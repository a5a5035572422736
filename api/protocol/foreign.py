"""Graphs of a `langgraph.json`, opened to be executed: by a server, or by a worker that answers nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

from langgraph.store.base import BaseStore
from langgraph.store.postgres.aio import AsyncPostgresStore
from psycopg.rows import DictRow

from api.protocol import executing, graphs
from api.protocol.bell import Bell
from api.protocol.executing import Outcome
from api.protocol.executor import Executor
from api.protocol.graphs import Foreign
from api.protocol.recorder import Recorder
from core.database import Database
from core.incarnation import Pool
from core.tasks import end


@asynccontextmanager
async def store_of(db: Database) -> AsyncGenerator[BaseStore]:
    """LangGraph's store in the database."""
    # The pool has the service's rights and search path, which the store relies on.
    store = AsyncPostgresStore(cast(Any, db.pool))
    try:
        yield store
    finally:
        # It has a task that batches its work, and no way to close it but this.
        await end(cast("asyncio.Task[None]", cast(Any, store)._task))


async def load(path: Path, db: Database, store: BaseStore) -> Mapping[str, Foreign]:
    """The graphs of a file, by id; raises GraphsInvalid."""
    return await graphs.of_file(path, cast(Pool, (await db.checkpointer()).conn), store)


@asynccontextmanager
async def worked_on(db: Database, path: Path) -> AsyncGenerator[list[str]]:
    """Execute runs of a file's graphs in this process, beside whatever else it does; their ids.

    Raises GraphsInvalid. At the end, what is under way is let go of, for others.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(store_of(db))
        served = await load(path, db, store)

        async def work(run: DictRow, recorder: Recorder, wanted: Callable[[], str | None], /) -> Outcome:
            return await executing.execute(run, served[run["graph_id"]], recorder, wanted)

        bell = await stack.enter_async_context(Bell.open(db))
        await stack.enter_async_context(Executor(db, bell, work, lambda: [*served]).open())
        yield [*served]
