"""A factory whose runs workers drive, and a queue alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from core.database import Database
from graph.holds import Holds
from graph.queue import Queue
from graph.queue.worker import Workers
from tests.doubles.fixtures import ollama_server  # noqa: F401  (a fixture)
from tests.graph.conftest import OpenSmall, open_small  # noqa: F401  (a fixture)

LEASE = 1.0
"""Seconds; in life it is fifteen."""


@pytest.fixture
async def queue(database: Database) -> AsyncIterator[Queue]:
    """A queue without workers."""
    holds = Holds(database, LEASE)
    async with Queue.open(database, holds, lease=LEASE) as opened:
        yield opened
    await holds.close()


@asynccontextmanager
async def working(queue: Queue, jobs: int = 2, **more: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Workers of a queue, in this process; they end in order."""
    task = asyncio.create_task(Workers(queue, jobs, **more).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], Any], seconds: float = 20) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while True:
            found = true()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)


Opened = Callable[..., AbstractAsyncContextManager[Any]]
