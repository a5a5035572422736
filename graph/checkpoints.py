"""LangGraph's checkpoints in its own tables, each written in one statement, which is one transaction.

LangGraph's saver sends one statement for each row and lets a thread turn the values into bytes: that is more
than half of what a checkpoint costs. What stands in the tables is the same, and its saver reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.types import _DeltaSnapshot  # pyright: ignore[reportPrivateUsage]
from langgraph.graph.state import CompiledStateGraph
from psycopg.types.json import Jsonb

from core.fencing import Fence
from core.incarnation import Pool
from graph.together import MOST_BYTES, Together, text_of
from graph.written import Written

_BLOBS: Final = """
INSERT INTO factory.checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
SELECT %(thread)s, %(ns)s, channel, version, type, blob
FROM unnest(%(channels)b::text[], %(versions)b::text[], %(types)b::text[], %(blobs)b::bytea[])
    AS new (channel, version, type, blob)
ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING
"""
_CHECKPOINT: Final = """
INSERT INTO factory.checkpoints
    (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
VALUES (%(thread)s, %(ns)s, %(id)s, %(parent)s, %(checkpoint)s, %(metadata)s)
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
DO UPDATE SET checkpoint = excluded.checkpoint, metadata = excluded.metadata
"""
_WRITES: Final = """
INSERT INTO factory.checkpoint_writes
    (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
SELECT %(thread)s, %(ns)s, %(written)s, %(task)s, %(path)s, place, channel, type, blob
FROM unnest(%(places)s::int[], %(into)b::text[], %(kinds)b::text[], %(values)b::bytea[])
    AS new (place, channel, type, blob)
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
"""
_ONCE: Final = "DO NOTHING"
_ANEW: Final = "DO UPDATE SET channel = excluded.channel, type = excluded.type, blob = excluded.blob"
_FENCE: Final = "SELECT factory.check_fence(%(subject)s, %(attempt)s)"

Values = dict[str, Any]


class OneStatementSaver(AsyncPostgresSaver):
    """Writes as its base class does, in one journey to the database. Any number of executions may share it:
    none waits for another."""

    def __init__(self, pool: Pool, fence: Fence | None = None) -> None:
        super().__init__(cast(Any, pool))
        self._pool = pool
        self._fence = fence

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint; what is no plain value goes into rows of its own."""
        thread, ns, parent = _place(config)
        plain, large = _parted(checkpoint["channel_values"])
        changed = {name: version for name, version in new_versions.items() if name in large}
        blobs = [self.serde.dumps_typed(large[name]) for name in changed]
        values = {
            "thread": thread,
            "ns": ns,
            "id": checkpoint["id"],
            "parent": parent,
            "checkpoint": Jsonb({**checkpoint, "channel_values": plain}),
            "metadata": Jsonb(get_serializable_checkpoint_metadata(config, metadata)),
            "channels": list(changed),
            "versions": list(changed.values()),
            "types": [kind for kind, _ in blobs],
            "blobs": [blob for _, blob in blobs],
        }
        along = self._along(thread, ns)
        parts = [*([_BLOBS] if blobs else []), *([_WRITES + _ONCE] if along else []), _CHECKPOINT]
        await self._write(parts, {**values, **along})
        return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": checkpoint["id"]}}

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save what a task gave. Of what it gave twice in one place (a question) the last counts."""
        anew = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        rows = {
            WRITES_IDX_MAP.get(channel, place): (channel, *self.serde.dumps_typed(value))
            for place, (channel, value) in enumerate(writes)
        }
        thread, ns, checkpoint = _place(config)
        values = {
            "thread": thread,
            "ns": ns,
            "written": checkpoint,
            "task": task_id,
            "path": task_path,
            "places": list(rows),
            "into": [channel for channel, _, _ in rows.values()],
            "kinds": [kind for _, kind, _ in rows.values()],
            "values": [blob for _, _, blob in rows.values()],
        }
        if not self._keeps(values):
            await self._write([_WRITES + (_ANEW if anew else _ONCE)], values)

    def _keeps(self, values: Values) -> bool:
        """Whether these writes are kept, to go with the checkpoint that they lead to."""
        return False

    def _along(self, thread: str, ns: str) -> Values:
        """The writes that go with the next checkpoint of this graph."""
        return {}

    async def _write(self, parts: Sequence[str], values: Values) -> None:
        fenced = [] if self._fence is None else [_FENCE]
        under = (
            {} if self._fence is None else {"subject": self._fence.subject, "attempt": self._fence.attempt}
        )
        async with self._pool.connection() as connection:
            await connection.execute(_together(*parts, *fenced), {**values, **under}, prepare=True)


class FencedSaver(OneStatementSaver):
    """The checkpoints of one execution of a graph that is not the factory's.

    Each write asks whether the fence still holds. Raises Fenced (core/fencing.py). With `together` it goes
    along with those of other executions.
    """

    def __init__(
        self,
        pool: Pool,
        fence: Fence | None = None,
        together: Together | None = None,
        written: Written | None = None,
    ) -> None:
        super().__init__(pool, fence)
        self._together = together
        self._written = written

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As the base class has it; what is `written` under this fence alone is not asked for."""
        _, ns, checkpoint = _place(config)
        if self._written is not None and not checkpoint and self._written.knows(ns):
            return self._written.newest(ns, self._load_blobs)
        return await super().aget_tuple(config)

    async def _write(self, parts: Sequence[str], values: Values) -> None:
        size = sum(len(blob) for name in ("blobs", "values") for blob in values.get(name, ()) if blob)
        try:
            if self._together is None or self._fence is None or size > MOST_BYTES:
                await super()._write(parts, values)
            else:
                anew = any(_ANEW in part for part in parts)
                await self._together.write(text_of(values, self._fence, anew=anew))
        except BaseException:
            self._written = None  # nobody knows whether it stands there
            raise
        if self._written is not None:
            self._written.note(values, size)


class RunSaver(OneStatementSaver):
    """The checkpoints of the factory's own runs, which their connections fence.

    In a stage one node follows the other: what a node gave leads to the next checkpoint at once, and goes
    with it. Where the process dies between the two, the node runs again, as it does where it dies a moment
    before. The stages themselves run side by side: what one gave is written when it ends.
    """

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self._kept: dict[tuple[str, str], Values] = {}

    def forget(self, thread: str) -> None:
        """Drop what still waits for a next checkpoint of a run that is not executed any more: none comes."""
        for place in [place for place in self._kept if place[0] == thread]:
            del self._kept[place]

    def _keeps(self, values: Values) -> bool:
        of_node = values["ns"] and values["task"] != _NO_TASK and min(values["places"], default=-1) >= 0
        place = values["thread"], values["ns"]
        if not of_node or place in self._kept:
            return False
        self._kept[place] = values
        return True

    def _along(self, thread: str, ns: str) -> Values:
        return self._kept.pop((thread, ns), {})


def forget(graph: CompiledStateGraph[Any, Any, Any, Any], thread: str) -> None:
    """The same, of the saver that a graph has."""
    saver = cast("object", cast("Any", graph).checkpointer)
    if isinstance(saver, RunSaver):
        saver.forget(thread)


_NO_TASK: Final = "00000000-0000-0000-0000-000000000000"
"""LangGraph's name for who gave what came from outside."""


def _place(config: RunnableConfig) -> tuple[str, str, str | None]:
    """The thread, the graph inside of it, and the checkpoint, where one is named."""
    given: Any = config.get("configurable")
    return str(given["thread_id"]), str(given.get("checkpoint_ns", "")), given.get("checkpoint_id")


def _parted(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What stands in the checkpoint itself, and what does not."""
    plain: dict[str, Any] = {}
    large: dict[str, Any] = {}
    for name, value in values.items():
        if value is None or isinstance(value, str | int | float | bool):
            plain[name] = value
        else:
            large[name] = value
            if isinstance(value, _DeltaSnapshot):
                plain[name] = True
    return plain, large


@cache
def _together(*parts: str) -> bytes:
    """One statement that does all parts."""
    before = ",".join(f"part{number} AS ({part})" for number, part in enumerate(parts[:-1]))
    return ((f"WITH {before} " if before else "") + parts[-1]).encode()
