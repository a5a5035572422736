"""A cancellation that something on the way loses is said again."""

from __future__ import annotations

import asyncio

import pytest

from core.tasks import end, obeying


async def _deaf(times: int, heard: list[int]) -> None:
    """Loses its first cancellations, as `asyncio.wait_for` of Python 3.11 does at the wrong moment."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.append(1)
            if len(heard) > times:
                raise


@pytest.mark.parametrize("lost", [0, 1, 3])
async def test_work_whose_cancellation_was_lost_ends_all_the_same(lost: int) -> None:
    heard: list[int] = []
    task = asyncio.create_task(obeying(_deaf(lost, heard), again=0.02))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(30):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(heard) == lost + 1


async def test_work_that_nobody_cancels_is_left_alone() -> None:
    async def work() -> int:
        async with asyncio.timeout(60):
            await asyncio.sleep(0.05)
        return 7

    assert await obeying(work(), again=0.01) == 7


async def test_tasks_that_lose_a_cancellation_are_ended() -> None:
    heard: list[int] = []
    task = asyncio.create_task(_deaf(2, heard))
    await asyncio.sleep(0)
    await end(task, again=0.01)
    assert task.cancelled()
    assert len(heard) == 3
