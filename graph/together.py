"""Checkpoints of several executions written in one statement, where they come at the same moment.

A graph that does little writes a checkpoint every few milliseconds, and ten of them side by side are bound by
the database's transactions. So, what comes while others are being written waits for them, and goes with all
that waits then: one way to the server, one transaction, one wait for the disk. Each is under its own fence.
Where one of them is refused, all are written again, each by itself.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from core.errors import FactoryError
from core.fencing import Fence
from core.incarnation import Pool

MOST_BYTES: Final = 100_000
"""Of values in one write that goes with others; JSON carries them, a third longer."""
_MOST: Final = 32
"""Writes in one statement."""
_SIDE_BY_SIDE: Final = 2
"""Statements at once: one waits for the disk, the next is on its way."""

_WRITES: Final = """
    INSERT INTO factory.checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT row ->> 0, row ->> 1, row ->> 2, row ->> 3, row ->> 4, (row ->> 5)::int, row ->> 6, row ->> 7,
           decode(row ->> 8, 'base64')
    FROM asked, jsonb_array_elements(one -> '{these}') row
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
"""
# What LangGraph's four statements do, each for all rows of all writes.
_WRITE: Final = f"""
WITH asked AS MATERIALIZED (
    SELECT value AS one FROM jsonb_array_elements(%s::jsonb)
), blobs AS (
    INSERT INTO factory.checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT row ->> 0, row ->> 1, row ->> 2, row ->> 3, row ->> 4, decode(row ->> 5, 'base64')
    FROM asked, jsonb_array_elements(one -> 'blobs') row
    ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING
), checkpoints AS (
    INSERT INTO factory.checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    SELECT row ->> 0, row ->> 1, row ->> 2, row ->> 3, row -> 4, row -> 5
    FROM asked, jsonb_array_elements(one -> 'checkpoints') row
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
    DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata
), upserts AS (
    {_WRITES.format(these="upserts")}
    DO UPDATE SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob
), inserts AS (
    {_WRITES.format(these="inserts")} DO NOTHING
)
SELECT factory.check_fence(one -> 'fence' ->> 0, (one -> 'fence' ->> 1)::int) FROM asked
""".encode()  # noqa: S608  (of the parts above)


@dataclass(eq=False)
class _Waiting:
    text: str
    done: asyncio.Future[None]


@dataclass
class Together:
    """What one process writes."""

    pool: Pool
    _waiting: list[_Waiting] = field(default_factory=list[_Waiting])
    _writers: int = 0
    """Tasks that will look whether anything waits."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def write(self, text: str) -> None:
        """Write what `text_of` has made; when this returns it is committed. Raises Fenced.

        Who is cancelled meanwhile is so when it is known what became of it.
        """
        one = _Waiting(text, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        if self._writers < _SIDE_BY_SIDE:
            self._writers += 1
            # In no caller's context: what others write is no part of it.
            task = asyncio.create_task(self._write_all(), name="checkpoints", context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.shield(one.done)
        except asyncio.CancelledError:
            if one in self._waiting:
                self._waiting.remove(one)
            elif not one.done.done():
                await asyncio.wait({one.done})
            raise

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._write_some()
        finally:
            # In the same moment in which nothing waited: who comes next begins another one.
            self._writers -= 1

    async def _write_some(self) -> None:
        taken, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        try:
            await self._execute(taken)
        except (psycopg.Error, FactoryError) as error:
            if len(taken) == 1:
                _fail(taken[0], error)
            else:
                await self._one_by_one(taken)
        except BaseException as error:
            for one in taken:
                _fail(one, error)
            if not isinstance(error, Exception):
                raise
        for one in taken:
            if not one.done.done():
                one.done.set_result(None)

    async def _one_by_one(self, taken: Sequence[_Waiting]) -> None:
        for one in taken:
            try:
                await self._execute([one])
            except (psycopg.Error, FactoryError) as error:  # whose write it is, is told
                _fail(one, error)

    async def _execute(self, taken: Sequence[_Waiting]) -> None:
        texts = ",".join(one.text for one in taken)
        async with self.pool.connection() as connection:
            await connection.execute(_WRITE, (f"[{texts}]",))


def _fail(one: _Waiting, error: BaseException) -> None:
    if not one.done.done():
        one.done.set_exception(error)
        one.done.exception()  # who asked may have gone


def text_of(values: Mapping[str, Any], fence: Fence, *, anew: bool) -> str:
    """A checkpoint, the writes of a task, or both (as graph/checkpoints.py has them), for `Together.write`.

    `anew`: the writes take the places of earlier ones.
    """
    asked: dict[str, Any] = {"fence": [fence.subject, fence.attempt]}
    place = [values["thread"], values["ns"]]
    if "id" in values:
        rows = zip(values["channels"], values["versions"], values["types"], values["blobs"], strict=True)
        asked["blobs"] = [[*place, *row[:-1], _encoded(row[-1])] for row in rows]
        checkpoint, metadata = values["checkpoint"].obj, values["metadata"].obj
        asked["checkpoints"] = [[*place, values["id"], values["parent"], checkpoint, metadata]]
    if "written" in values:
        rows = zip(values["places"], values["into"], values["kinds"], values["values"], strict=True)
        of_task = [*place, values["written"], values["task"], values["path"]]
        told = [[*of_task, *row[:-1], _encoded(row[-1])] for row in rows]
        asked["upserts" if anew else "inserts"] = told
    return json.dumps(asked)


def _encoded(blob: bytes | None) -> str | None:
    return None if blob is None else b64encode(blob).decode()
