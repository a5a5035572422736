"""Work that was begun in one life of the server does not go on in the next."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from langgraph.checkpoint.base import empty_checkpoint

from core import postmaster
from core.cluster import Room, settle
from core.database import Database
from core.events import EventLog
from core.incarnation import ServerRestarted, pinned
from core.settings import Settings

Kill = Callable[[Database, Path], Awaitable[None]]


@pytest_asyncio.fixture
async def own(tmp_path: Path) -> AsyncIterator[Database]:
    """A database on a server of its own, which a test may kill."""
    async with Database.open(Settings(home=tmp_path)) as db:
        await EventLog(db).append("run-1", "a.b")
        yield db


async def whole_server(_: Database, home: Path) -> None:
    server = postmaster.server_pid(str(settle(Room(home / "postgres", home / "postgres" / "cluster")).data))
    assert server is not None
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    for pid in (server, *map(int, children)):
        os.kill(pid, signal.SIGKILL)


async def one_backend(db: Database, _: Path) -> None:
    """The postmaster lives on, and throws away what its memory held."""
    other = await db.connect()
    os.kill(other.info.backend_pid, signal.SIGKILL)
    with pytest.raises(psycopg.OperationalError):
        await other.execute("SELECT pg_sleep(30)")
    await other.close()


@pytest.mark.parametrize("kill", [whole_server, one_backend])
async def test_pinned_work_never_reaches_the_next_life_of_the_server(
    kill: Kill, own: Database, tmp_path: Path
) -> None:
    log, saver = EventLog(own), await own.checkpointer()
    async with own.pool.connection() as connection:
        life = pinned(connection)
    await kill(own, tmp_path)
    after = await log.append("run-1", "a.b", key="unpinned")
    with life:
        with pytest.raises(ServerRestarted):
            await log.append("run-1", "a.b", key="one")
        with pytest.raises(ServerRestarted):
            await log.read("run-1")
        with pytest.raises(ServerRestarted):
            await saver.aput(
                {"configurable": {"thread_id": "run-1", "checkpoint_ns": ""}}, empty_checkpoint(), {}, {}
            )
    assert [event.seq for event in await log.read("run-1")][-1] == after.seq


async def test_pinned_work_goes_on_in_the_same_life(own: Database) -> None:
    log = EventLog(own)
    async with own.pool.connection() as connection:
        with pinned(connection):
            await log.append("run-1", "a.b", key="one")
            again = await log.append("run-1", "a.b", key="one")
    assert again.seq == 2
