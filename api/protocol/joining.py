"""A thread that somebody has joined is told what moves its run from any other surface, too.

A run of the protocol ends where the factory's run asks. LangGraph's clients begin the next one with their
answer; where it comes from the chat, the command line or REST, none of them does. So, while somebody has
joined the thread, one that looks on is begun here, as if another client had resumed it: once, whoever is
quicker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from psycopg.rows import DictRow

from api.protocol import assistants
from api.protocol.beginning import begin
from api.protocol.bell import wait_for
from api.protocol.own import Own
from api.protocol.queries import runs, threads
from api.protocol.wanted import RunWanted, StreamMode
from core import logs
from core.errors import FactoryError
from core.events import Event
from core.tasks import end
from graph.narration import LOUD

_MODES: Final[tuple[StreamMode, ...]] = ("values", "updates", "custom")
"""What is told beside what the thread's newest run told."""

logger = logs.get(__name__)


async def joined(
    own: Own, thread: DictRow, lines: AsyncIterator[DictRow | None], *, by: str
) -> AsyncGenerator[DictRow | None]:
    """The thread's lines; meanwhile some run of the protocol tells whatever happens."""
    keeping = asyncio.create_task(_keep_told(own, thread, by), name=f"joined {thread['thread_id']}")
    try:
        async for line in lines:
            yield line
    finally:
        await end(keeping)


async def _keep_told(own: Own, thread: DictRow, by: str) -> None:
    factory, run_id = own.service.factory, str(thread["of_run"])
    try:
        log = await factory.events.read(run_id)
        async with aclosing(factory.hub.follow(run_id, after=log[-1].seq if log else 0)) as news:
            async for event in news:
                if event.kind in LOUD:
                    await _told(own, thread, event, by)
    except FactoryError as error:
        logger.warning("a joined thread is not kept told", run_id=run_id, error=str(error))
    except Exception:  # the stream itself goes on
        logger.exception("a joined thread is not kept told")


async def _told(own: Own, thread: DictRow, event: Event, by: str) -> None:
    """Return when a run of the protocol has told the event, or has been begun that will."""
    with own.bell.hearing(str(thread["thread_id"])) as news:
        while True:
            news.clear()
            async with own.service.factory.db.pool.connection() as conn, conn.transaction():
                await threads.get(conn, thread["thread_id"], lock=True)
                newest = await runs.of_thread(conn, thread["thread_id"], limit=1)
                if newest and newest[0]["source_seq"] >= event.seq:
                    return
                if not await runs.active(conn, thread["thread_id"]):
                    modes: list[StreamMode] = newest[0]["kwargs"]["stream_mode"] if newest else []
                    graph_id = newest[0]["graph_id"] if newest else thread["metadata"]["graph_id"]
                    wanted = RunWanted(assistant_id=graph_id, stream_mode=[*modes, *_MODES])
                    assistant = await assistants.find(conn, graph_id)
                    await begin(conn, thread, assistant, wanted, by=by, after=event.seq - 1)
                    return
            await wait_for(news)
