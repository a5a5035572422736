"""`factory worker`: does what is in the queue until it is told to end, and hands over what it does then."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from core.settings import Settings
from graph.queue.driving import Dispatch
from graph.runner import Factory


async def work(settings: Settings, jobs: int, *, announce: Callable[[str], None]) -> int:
    """Work until SIGTERM or SIGINT; 0."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with Factory.open(settings, model=settings.model) as factory, Dispatch.open(factory) as dispatch:
        for line in factory.announcements:
            announce(line)
        async with dispatch.working(jobs):
            announce(f"Working on {jobs} runs at once; end it with Ctrl-C")
            await ended.wait()
            announce("Handing over")
    return 0
