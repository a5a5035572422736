"""Telling a client what a run, or a thread, streams: from the table, so any process can, from anywhere."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

import orjson
from fastapi.responses import StreamingResponse
from langgraph_sdk.stream.subscription import matches_subscription
from psycopg.rows import DictRow

from api.access import Admission
from api.protocol.bell import LOOK_ANYWAY, Bell, wait_for
from api.protocol.queries import events, runs
from core import clock
from core.database import Database
from core.errors import BadInput

HEARTBEAT: Final = 5.0
"""Seconds of silence after which a comment says that the connection lives."""
SOON: Final = 0.4
"""Seconds for which a run's end is waited for before an answer is begun."""
QUESTION_AFTER: Final = 0.3
"""Seconds by which a question is told late to who watches for questions only."""
_WATCH: Final = frozenset({"lifecycle", "input"})
_BATCH: Final = 500
_BEAT: Final = b": heartbeat\n\n"
_AS_LINES: Final = frozenset({"values", "updates", "custom", "tasks", "checkpoints", "debug"})
"""Events of a thread's stream that a run's stream has under the same name."""

ENDED: Final = frozenset({"success", "error", "timeout", "interrupted"})


@dataclass(frozen=True)
class Reader:
    """Reads streams as they grow."""

    db: Database
    bell: Bell

    async def of_run(self, run: DictRow, after: int) -> AsyncGenerator[DictRow | None]:
        """The run's lines after a position, until it ends; None where nothing was told for a while."""
        with self.bell.hearing(str(run["thread_id"])) as news:
            while True:
                news.clear()
                async with self.db.pool.connection() as conn, conn.pipeline():
                    # Looked at first: what it said before it ended is read after this.
                    looked = await runs.look(conn, run["run_id"])
                    lines = await events.read_run(conn, run["run_id"], after, _BATCH)
                    now = await looked.fetchone()
                for line in lines:
                    after = line["seq"]
                    yield line
                if len(lines) == _BATCH:
                    continue
                if now is None or now["status"] in ENDED:
                    return
                if not await wait_for(news, HEARTBEAT):
                    yield None

    async def of_thread(
        self, thread_id: UUID, after: int, form: str | None = None
    ) -> AsyncGenerator[DictRow | None]:
        """The lines of all runs of a thread after a position, and those to come, for ever."""
        with self.bell.hearing(str(thread_id)) as news:
            while True:
                news.clear()
                async with self.db.pool.connection() as conn:
                    lines = await events.read_thread(conn, thread_id, after, _BATCH, form)
                for line in lines:
                    after = line["seq"]
                    yield line
                if len(lines) < _BATCH and not await wait_for(news, HEARTBEAT):
                    yield None

    async def until_end(self, run: DictRow, heard: int = -1, *, patience: float = math.inf) -> DictRow | None:
        """How a run ended, and its thread then (`runs.with_thread`); None where it is gone.

        `heard` is how many ends the bell had told of before `run` was read: it is not read again for nothing.
        Raises TimeoutError where it has not ended after so many seconds.
        """
        until = clock.monotonic() + patience
        with self.bell.hearing(str(run["thread_id"]), ends_only=True) as news:
            if heard == self.bell.ends and run["status"] not in ENDED:
                await wait_for(news, min(patience, LOOK_ANYWAY))
            while True:
                news.clear()
                async with self.db.pool.connection() as conn:
                    now = await runs.with_thread(conn, run["run_id"])
                if now is None or now["status"] in ENDED:
                    return now
                left = until - clock.monotonic()
                if left <= 0:
                    raise TimeoutError
                await wait_for(news, min(left, LOOK_ANYWAY))


def position(given: str | None) -> int:
    """Where a client goes on: the id of the last event that it has; 0 is the beginning."""
    if given is None or not given.strip():
        return 0
    try:
        return max(0, int(given.strip()))
    except ValueError:
        raise BadInput(
            f"Last-Event-ID {given[:40]!r} is none of this server's",
            todo="Send the id of the last event that you have",
        ) from None


def run_lines(
    run: DictRow, lines: AsyncIterator[DictRow | None], modes: Sequence[str] | None
) -> AsyncIterator[bytes]:
    """A run's stream as server-sent events; only of some modes, where they are named."""
    # A run that was started for a thread's stream has no lines of its own: its events are told as such.
    only_events = bool(run["kwargs"].get("protocol"))

    async def told() -> AsyncIterator[bytes]:
        async for line in lines:
            if line is None:
                yield _BEAT
            elif line["form"] == "stream":
                if not modes or _of_mode(line["event"], modes):
                    yield sse(line["event"], line["data"], line["seq"])
            elif only_events and line["event"] in _AS_LINES and (not modes or line["event"] in modes):
                yield _as_line(line)

    return told()


def _as_line(line: DictRow) -> bytes:
    params: dict[str, Any] = orjson.loads(line["data"])["params"]
    name = "|".join((line["event"], *params["namespace"]))
    return sse(name, orjson.dumps(params["data"]).decode(), line["seq"])


def _of_mode(event: str, modes: Sequence[str]) -> bool:
    name = event.partition("|")[0]
    if name in ("metadata", "error", "feedback", "end"):
        return True
    if name == "messages":
        return "messages-tuple" in modes
    return name.partition("/")[0] in modes


def thread_lines(lines: AsyncIterator[DictRow | None]) -> AsyncIterator[bytes]:
    """All runs of a thread as they stream."""

    async def told() -> AsyncIterator[bytes]:
        async for line in lines:
            yield _BEAT if line is None else sse(line["event"], line["data"], line["seq"])

    return told()


def event_of(line: DictRow) -> dict[str, Any]:
    """An event of a thread's stream with its number."""
    event: dict[str, Any] = orjson.loads(line["data"])
    return {"type": "event", "event_id": str(line["seq"]), "seq": line["seq"], **event}


def subscribed(event: dict[str, Any], filters: Mapping[str, Any]) -> bool:
    """Whether an event is of the channels and namespaces that a client asked for."""
    return matches_subscription(cast(Any, event), cast(Any, filters))


async def pace(event: dict[str, Any], filters: Mapping[str, Any]) -> None:
    """Let a client that watches for questions on a connection of its own read what came before them.

    LangGraph's SDK stops all that it reads from a thread as soon as that connection tells of a question,
    whatever is still on its way on the other.
    """
    if event["method"] == "input.requested" and _WATCH.issuperset(filters["channels"]):
        age = time.time() - event["params"]["timestamp"] / 1000
        await asyncio.sleep(min(QUESTION_AFTER, max(0.0, QUESTION_AFTER - age)))


def event_lines(lines: AsyncIterator[DictRow | None], filters: Mapping[str, Any]) -> AsyncIterator[bytes]:
    """A thread's protocol events as server-sent events."""

    async def told() -> AsyncIterator[bytes]:
        async for line in lines:
            if line is None:
                yield _BEAT
                continue
            event = event_of(line)
            if subscribed(event, filters):
                await pace(event, filters)
                yield sse(line["event"], orjson.dumps(event).decode(), line["seq"])

    return told()


def sse(event: str, data: str, number: int | None = None) -> bytes:
    """One server-sent event."""
    tail = "" if number is None else f"id: {number}\n"
    return f"event: {event}\ndata: {data}\n{tail}\n".encode()


def response(
    body: AsyncIterator[bytes],
    headers: Mapping[str, str] | None = None,
    on_gone: Callable[[], Any] | None = None,
    admission: Admission | None = None,
) -> StreamingResponse:
    """The response; `on_gone` is awaited where the client goes before the stream ends.

    With `admission` the stream ends soon after the client's token does: it has gone, then.
    """

    async def watched() -> AsyncIterator[bytes]:
        ended = False
        try:
            looked = clock.monotonic()
            async for part in body:
                if admission is not None and clock.monotonic() - looked >= HEARTBEAT - 0.5:
                    if not await admission.stands():
                        return
                    looked = clock.monotonic()
                yield part
            ended = True
        finally:
            if not ended and on_gone is not None:
                # The request's own task is being cancelled; this is not to be.
                _kept.add(task := asyncio.ensure_future(on_gone()))
                task.add_done_callback(_kept.discard)

    return StreamingResponse(
        watched(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **(headers or {})},
    )


_kept: set[asyncio.Future[Any]] = set()
