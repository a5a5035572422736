"""Checkpoints under a fence: written while it holds, refused from the moment on that it does not."""

from __future__ import annotations

from typing import Any, cast

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.types import Interrupt

from core.fencing import Fence, Fenced
from core.incarnation import Pool
from graph import queries
from graph.checkpoints import FencedSaver
from graph.runner import Factory
from tests.graph.conftest import OpenSmall

THREAD = "thread 0000"


async def _taken(factory: Factory) -> Fence:
    """The thread, taken up by somebody."""
    async with factory.db.pool.connection() as conn:
        row = await queries.take_hold(conn, THREAD, "somebody", alive=False)
    return Fence(THREAD, row["attempt"])


async def _saver(factory: Factory, fence: Fence | None) -> FencedSaver:
    return FencedSaver(cast(Pool, (await factory.db.checkpointer()).conn), fence)


async def _put(saver: FencedSaver, said: str) -> RunnableConfig:
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"said": [said], "by": said}
    versions: Any = {"said": said, "by": said}
    checkpoint["channel_versions"] = versions
    config: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    return await saver.aput(config, checkpoint, {"step": 0}, versions)


async def _newest(factory: Factory) -> Any:
    saver = await _saver(factory, None)
    found = await saver.aget_tuple({"configurable": {"thread_id": "t", "checkpoint_ns": ""}})
    assert found is not None
    return found


async def test_who_was_overtaken_writes_no_checkpoint_and_no_writes(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        slept = await _saver(factory, await _taken(factory))
        at = await _put(slept, "first")
        await slept.aput_writes(at, [("said", ["more"])], "task")
        awake = await _saver(factory, await _taken(factory))
        with pytest.raises(Fenced, match="taken up by somebody else"):
            await _put(slept, "late")
        for late in ([("said", ["late"])], [("__interrupt__", (Interrupt("late"),))] * 2):
            with pytest.raises(Fenced, match="taken up by somebody else"):
                await slept.aput_writes(at, late, "late")
        found = await _newest(factory)
        assert found.checkpoint["channel_values"] == {"said": ["first"], "by": "first"}
        assert found.pending_writes == [("task", "said", ["more"])]
        await _put(awake, "second")
        assert (await _newest(factory)).checkpoint["channel_values"]["said"] == ["second"]


async def test_writes_that_share_a_place_are_all_taken_as_langgraph_takes_them(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        saver = await _saver(factory, await _taken(factory))
        at = await _put(saver, "first")
        twice: Any = [("__interrupt__", (Interrupt("one"),)), ("__interrupt__", (Interrupt("two"),))]
        await saver.aput_writes(at, twice, "asks")
        many = [(f"channel{n}", n) for n in range(20)]
        await saver.aput_writes(at, many, "writes")
        found = (await _newest(factory)).pending_writes
        assert [value[0].value for task, _, value in found if task == "asks"] == ["two"]
        assert [(channel, value) for task, channel, value in found if task == "writes"] == many
