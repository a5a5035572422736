"""Ending tasks of asyncio."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_AGAIN: Final = 1.0
"""Seconds until a task that is still there is cancelled once more."""


CLEANING: Final = 15.0
"""The same, for a task that cleans up behind itself: that must not be cut off."""


async def end(*tasks: asyncio.Task[Any], again: float = _AGAIN) -> None:
    """Cancel tasks and wait until each is done; what they raise is dropped.

    Cancels more than once: before Python 3.12 `asyncio.wait_for`, by which psycopg hands out connections,
    loses a cancellation that meets the moment in which its wait ends. `again` are the seconds between two;
    give `CLEANING` for what cleans up.
    """
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=again)
    for task in tasks:
        if not task.cancelled():
            task.exception()


async def obeying(work: Coroutine[Any, Any, T], *, again: float = CLEANING) -> T:
    """Do `work` in this task so that a cancellation of it is not lost, for the same reason as in `end`.

    Where it goes on `again` seconds after it was cancelled, it is cancelled once more.
    """
    task = asyncio.current_task()
    assert task is not None
    insisting = asyncio.create_task(_insist(task, again))
    try:
        return await work
    finally:
        insisting.cancel()


async def _insist(task: asyncio.Task[Any], again: float) -> None:
    since = 0.0
    pause = again / 10
    while True:
        await asyncio.sleep(pause)
        since = since + pause if task.cancelling() else 0.0
        if since >= again:
            since = 0.0
            task.cancel()
