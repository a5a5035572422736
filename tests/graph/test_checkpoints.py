"""Checkpoints under a fence: written while it holds, refused from the moment on that it does not."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict, cast

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.types import _DeltaSnapshot  # pyright: ignore[reportPrivateUsage]
from langgraph.graph import END, START, StateGraph
from langgraph.types import Interrupt, interrupt

from core.fencing import Fence, Fenced
from core.incarnation import Pool
from graph import hold_queries
from graph.checkpoints import FencedSaver, RunSaver
from graph.runner import Factory
from graph.together import MOST_BYTES, Together
from graph.written import Written
from tests.graph.conftest import OpenSmall

THREAD = "thread 0000"


async def _taken(factory: Factory) -> Fence:
    """The thread, taken up by somebody."""
    async with factory.db.pool.connection() as conn:
        row = await hold_queries.take_hold(conn, THREAD, "somebody", alive=False)
    return Fence(THREAD, row["attempt"])


async def _saver(factory: Factory, fence: Fence | None) -> FencedSaver:
    return FencedSaver(cast(Pool, (await factory.db.checkpointer()).conn), fence)


async def _put(saver: FencedSaver, said: str, thread: str = "t") -> RunnableConfig:
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"said": [said], "by": said}
    versions: Any = {"said": said, "by": said}
    checkpoint["channel_versions"] = versions
    config: RunnableConfig = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
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


async def _play(saver: Any, thread: str, space: str) -> None:
    """Two checkpoints of a graph, and what its tasks gave between them."""
    config: RunnableConfig = {"configurable": {"thread_id": thread, "checkpoint_ns": space}}
    for number in (1, 2):
        checkpoint = empty_checkpoint()
        checkpoint["id"], checkpoint["ts"] = f"checkpoint {number}", "2026-01-01"
        checkpoint["channel_values"] = {
            "said": [HumanMessage("Hallo ☃", id="one")],
            "by": "someone",
            "count": number,
            "all": _DeltaSnapshot([1]),
        }
        checkpoint["channel_versions"] = {"said": f"{number}", "by": f"{number}", "all": "1"}
        versions: Any = {"said": f"{number}", "all": "1"} if number == 1 else {"said": f"{number}", "by": "2"}
        config = await saver.aput(config, checkpoint, {"step": number, "parents": {}}, versions)
        await saver.aput_writes(config, [("said", ["more"]), ("none", None), ("count", 7)], "task", "~path")
        await saver.aput_writes(config, [("__resume__", ["yes"])], "00000000-0000-0000-0000-000000000000")
        await saver.aput_writes(config, [("__error__", "first")], "beside")
        await saver.aput_writes(config, [("__error__", "again")], "beside")
        await saver.aput_writes(config, [], "nothing")


async def _rows(factory: Factory, thread: str) -> list[list[dict[str, Any]]]:
    """All rows of a thread but for its name."""
    statements = [
        b"SELECT * FROM checkpoints WHERE thread_id = %s ORDER BY checkpoint_ns, checkpoint_id",
        b"SELECT * FROM checkpoint_blobs WHERE thread_id = %s ORDER BY checkpoint_ns, channel, version",
        b"SELECT * FROM checkpoint_writes WHERE thread_id = %s ORDER BY checkpoint_id, task_id, idx",
    ]
    async with factory.db.pool.connection() as conn:
        found = [await (await conn.execute(one, (thread,))).fetchall() for one in statements]
    return [[{**row, "thread_id": ""} for row in rows] for rows in found]


@pytest.mark.parametrize("space", ["", "stage:1"])
async def test_what_stands_in_the_tables_is_what_langgraph_would_have_written(
    open_small: OpenSmall, space: str
) -> None:
    async with open_small() as factory:
        theirs = await factory.db.checkpointer()
        ours = RunSaver(cast(Pool, theirs.conn))
        await _play(theirs, "theirs", space)
        await _play(ours, "ours", space)
        if space:  # the last one's writes go with the checkpoint that they lead to
            end: RunnableConfig = {"configurable": {"thread_id": "ours", "checkpoint_ns": space}}
            checkpoint = empty_checkpoint()
            await ours.aput(end, checkpoint, {}, {})
            async with factory.db.pool.connection() as conn:
                await conn.execute("DELETE FROM checkpoints WHERE checkpoint_id = %s", (checkpoint["id"],))
        assert await _rows(factory, "ours") == await _rows(factory, "theirs")


async def test_what_a_node_of_a_stage_gave_goes_with_the_next_checkpoint_or_not_at_all(
    open_small: OpenSmall,
) -> None:
    async with open_small() as factory:
        saver = RunSaver(cast(Pool, (await factory.db.checkpointer()).conn))
        config: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": "stage:1"}}
        at = await saver.aput(config, empty_checkpoint(), {}, {})
        await saver.aput_writes(at, [("said", "kept")], "task")
        assert (await _rows(factory, "t"))[2] == []
        other: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": "stage:2"}}
        await saver.aput(other, empty_checkpoint(), {}, {})
        assert (await _rows(factory, "t"))[2] == []
        await saver.aput(at, empty_checkpoint(), {}, {})
        assert [row["channel"] for row in (await _rows(factory, "t"))[2]] == ["said"]
        # Nobody executes the run any more: who takes it up again starts from its checkpoint.
        await saver.aput_writes(at, [("said", "lost")], "task 2")
        await saver.aget_tuple(config)  # who only reads changes nothing
        saver.forget("t")
        await saver.aput(at, empty_checkpoint(), {}, {})
        assert [row["task_id"] for row in (await _rows(factory, "t"))[2]] == ["task"]


async def test_checkpoints_of_several_threads_are_one_transaction_and_those_that_are_refused_are_not_there(
    open_small: OpenSmall,
) -> None:
    async with open_small() as factory:
        pool = cast(Pool, (await factory.db.checkpointer()).conn)
        together = Together(pool)
        slept, awake = [FencedSaver(pool, await _taken(factory), together) for _ in range(2)]

        async def put(*savers: FencedSaver) -> list[Any]:
            # Without values that LangGraph writes in a thread: all of them come at the same moment.
            puts = [
                saver.aput(
                    {"configurable": {"thread_id": f"{n}", "checkpoint_ns": ""}}, empty_checkpoint(), {}, {}
                )
                for n, saver in enumerate(savers)
            ]
            return await asyncio.gather(*puts, return_exceptions=True)

        assert not [one for one in await put(*[awake] * 5) if isinstance(one, BaseException)]
        assert await _transactions(factory) == (5, 1)
        results = await put(awake, slept, awake)
        assert [type(one) for one in results] == [dict, Fenced, dict]
        assert await _transactions(factory) == (7, 3)


class _Gate:
    """Stands for a database that answers all who ask at one moment."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.asked = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[_Gate]:
        yield self

    async def execute(self, *_: object) -> None:
        self.asked += 1
        await self.open.wait()


async def test_no_checkpoint_is_left_that_comes_when_the_last_writers_have_just_ended() -> None:
    gate = _Gate()
    together = Together(cast(Pool, gate))
    writes = [asyncio.create_task(together.write("{}"))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    writes.append(asyncio.create_task(together.write("{}")))
    while gate.asked < 2:
        await asyncio.sleep(0)

    async def late() -> None:
        await gate.open.wait()  # behind both of them
        await together.write("{}")

    writes.append(asyncio.create_task(late()))
    await asyncio.sleep(0)
    gate.open.set()
    async with asyncio.timeout(30):
        await asyncio.gather(*writes)
    assert gate.asked == 3


async def _transactions(factory: Factory) -> tuple[int, int]:
    """How many checkpoints there are, and how many transactions wrote them."""
    async with factory.db.pool.connection() as conn:
        row = await (
            await conn.execute("SELECT count(*) AS n, count(DISTINCT xmin::text) AS of FROM checkpoints")
        ).fetchone()
    assert row is not None
    return row["n"], row["of"]


async def test_what_is_written_together_is_what_langgraph_would_have_written(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        theirs = await factory.db.checkpointer()
        together = Together(cast(Pool, theirs.conn))
        ours = FencedSaver(together.pool, await _taken(factory), together)
        await _play(theirs, "theirs", "")
        await _play(ours, "ours", "")
        assert await _rows(factory, "ours") == await _rows(factory, "theirs")
        # What is large goes by itself, and stands there too.
        await _put(ours, "x" * (MOST_BYTES + 1), "large")
        found = await ours.aget_tuple({"configurable": {"thread_id": "large", "checkpoint_ns": ""}})
        assert found is not None
        assert found.checkpoint["channel_values"]["said"] == ["x" * (MOST_BYTES + 1)]


async def test_who_is_cancelled_while_a_checkpoint_is_written_finds_it_written(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        together = Together(cast(Pool, (await factory.db.checkpointer()).conn))
        saver = FencedSaver(together.pool, await _taken(factory), together)
        async with factory.db.pool.connection() as conn, conn.transaction():
            await conn.execute("LOCK TABLE checkpoints IN SHARE MODE")
            putting = asyncio.create_task(_put(saver, "said"))
            async with asyncio.timeout(30):
                while not (await _lock_waits(factory)):
                    await asyncio.sleep(0.01)
            putting.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert await _transactions(factory) == (1, 1)


async def _lock_waits(factory: Factory) -> bool:
    async with factory.db.pool.connection() as conn:
        row = await (await conn.execute("SELECT count(*) AS n FROM pg_locks WHERE NOT granted")).fetchone()
    return row is not None and row["n"] > 0


class _State(TypedDict, total=False):
    said: Annotated[list[Any], operator.add]
    by: str
    ask: bool


@pytest.mark.parametrize("ask", [False, True])
async def test_who_wrote_all_of_a_thread_knows_its_state_as_the_database_tells_it(
    open_small: OpenSmall, ask: bool
) -> None:
    def speak(state: _State) -> _State:
        return {"said": [HumanMessage("Hallo ☃", id="one"), 2.5, ("a", "b")], "by": "someone"}

    def end(state: _State) -> _State:
        return {"said": [interrupt("Go on?")] if state["ask"] else [], "by": ""}

    made = StateGraph(_State).add_node(speak).add_node(end)
    made = made.add_edge(START, "speak").add_edge("speak", "end").add_edge("end", END)
    async with open_small() as factory:
        together = Together(cast(Pool, (await factory.db.checkpointer()).conn))
        written = Written()
        saver = FencedSaver(together.pool, await _taken(factory), together, written)
        config: RunnableConfig = {"configurable": {"thread_id": "t"}}
        known, asked = (
            made.compile(checkpointer=saver),
            made.compile(checkpointer=await _saver(factory, None)),
        )
        await known.ainvoke({"said": ["first"], "ask": ask}, config)
        assert await known.aget_state(config) == await asked.aget_state(config)
        assert written.knows("") is not ask
        # What was refused is not known, and what is large neither.
        await _taken(factory)
        with pytest.raises(Fenced):
            await _put(saver, "late")
        assert (await saver.aget_tuple(config)) == await asked.checkpointer.aget_tuple(config)
        written.note({"ns": "", "written": "none"}, MOST_BYTES + 1)
        assert not written.knows("")
