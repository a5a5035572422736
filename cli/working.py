"""`factory worker`: does what is in the queue until it is told to end, and hands over what it does then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from core import ending
from core.settings import Settings
from graph.queue.driving import Dispatch
from graph.runner import Factory


async def work(
    settings: Settings, jobs: int, *, announce: Callable[[str], None], graphs: Path | None = None
) -> int:
    """Work until SIGTERM or SIGINT; 0. Raises DatabaseTooNew where a newer release migrates the database.

    With `graphs`, the file of a server, it executes their runs too; raises GraphsInvalid.
    """
    async with Factory.open(settings, model=settings.model) as factory, Dispatch.open(factory) as dispatch:
        for line in factory.announcements:
            announce(line)
        ended = asyncio.Event()
        # Around the work: it is handed over in order, too.
        with ending.heard(ended.set):
            async with AsyncExitStack() as stack:
                if graphs is not None:
                    announce(await _beside(stack, factory, graphs))
                working = await stack.enter_async_context(dispatch.working(jobs))
                assert working is not None
                announce(f"Working on {jobs} {'run' if jobs == 1 else 'runs'} at once; end it with Ctrl-C")
                told = asyncio.create_task(ended.wait())
                await asyncio.wait((told, working), return_when=asyncio.FIRST_COMPLETED)
                told.cancel()
                if working.done():
                    working.result()
                announce("Ending; what is being worked on is handed over")
    return 0


async def _beside(stack: AsyncExitStack, factory: Factory, graphs: Path) -> str:
    from api.protocol.foreign import worked_on

    names = await stack.enter_async_context(worked_on(factory.db, graphs))
    return f"Executing runs of {', '.join(names)}"
