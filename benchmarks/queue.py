"""The queue: the same jobs done by one worker process, and by two.

A job takes 20 ms of processor time, about what a run of a small graph costs, and writes once. Two workers can
only be faster where the machine has idle processors, so the same is also measured without a queue, by one
process that does nothing else, and by two: what they gain is the most that two workers could, and where that
is less than the goal, it is the goal, with a tenth more.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final

from benchmarks.measure import Measurement
from core.database import Database
from core.settings import Settings
from graph.holds import Holds
from graph.queue import Job, Queue
from graph.queue.worker import Workers

JOBS: Final = 200
BURNT: Final = 0.02
"""Seconds of processor time of one job."""
AT_ONCE: Final = 4
"""Jobs that one worker does side by side."""
TIMES: Final = 2
GOAL: Final = 1 / 1.6
"""Seconds with two workers, in those with one."""
_KIND: Final = "bench"
_PATIENCE: Final = 300.0

_spawn = get_context("spawn")


def measure() -> Iterator[Measurement]:
    """Seconds that two workers take, in those of one; and the same without a queue."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        one, two = zip(
            *(tuple(asyncio.run(_queued(home, workers)) for workers in (1, 2)) for _ in range(TIMES)),
            strict=True,
        )
    alone, both = zip(*(tuple(_bare(processes) for processes in (1, 2)) for _ in range(TIMES)), strict=True)
    goal = max(GOAL, 1.1 * min(both) / min(alone))
    yield Measurement(f"queue: {JOBS} jobs by two workers, to one", min(two), "s", goal, min(one))
    yield Measurement("the same without a queue, by two processes, to one", min(both), "s", 2, min(alone))


async def _queued(home: Path, workers: int) -> float:
    async with (
        Database.open(Settings(home=home)) as db,
        Queue.open(db, Holds(db, 15), lease=15) as queue,
    ):
        go = _spawn.Event()
        ready = _spawn.Semaphore(0)
        processes = [_spawn.Process(target=_work, args=(str(home), go, ready)) for _ in range(workers)]
        for process in processes:
            process.start()
        try:
            for _ in processes:
                assert await asyncio.to_thread(ready.acquire, True, _PATIENCE), "a worker does not start"
            async with db.pool.connection() as conn, conn.transaction():
                for number in range(JOBS):
                    await queue.defer_in(conn, _KIND, {"number": number})
            began = time.perf_counter()
            go.set()
            await _until_done(db)
            return time.perf_counter() - began
        finally:
            for process in processes:
                process.terminate()
                await asyncio.to_thread(process.join)


async def _until_done(db: Database) -> None:
    async with asyncio.timeout(_PATIENCE), db.pool.connection() as conn:
        while True:
            cursor = await conn.execute("SELECT count(*) AS left FROM procrastinate_jobs")
            row = await cursor.fetchone()
            if row is not None and row["left"] == 0:
                return
            await asyncio.sleep(0.01)


def _work(home: str, go: Event, ready: object) -> None:
    asyncio.run(_worker(Path(home), go, getattr(ready, "release")))  # noqa: B009  (typeshed knows no type)


async def _worker(home: Path, go: Event, ready: Callable[[], None]) -> None:
    async with (
        Database.open(Settings(home=home)) as db,
        Queue.open(db, Holds(db, 15), lease=15) as queue,
    ):

        async def do(job: Job) -> None:
            _burn(BURNT)
            async with db.pool.connection() as conn:
                await conn.execute("SELECT pg_logical_emit_message(true, 'bench', %s::text)", (str(job.id),))

        queue.register(_KIND, do)
        ready()
        await asyncio.to_thread(go.wait, _PATIENCE)
        await Workers(queue, AT_ONCE).run()


def _bare(processes: int) -> float:
    go, ready = _spawn.Event(), _spawn.Semaphore(0)
    started = [
        _spawn.Process(target=_only_burn, args=(JOBS // processes, go, ready)) for _ in range(processes)
    ]
    for process in started:
        process.start()
    for _ in started:
        assert ready.acquire(True, _PATIENCE), "a process does not start"
    began = time.perf_counter()
    go.set()
    for process in started:
        process.join()
    return time.perf_counter() - began


def _only_burn(jobs: int, go: Event, ready: object) -> None:
    getattr(ready, "release")()  # noqa: B009
    go.wait(_PATIENCE)
    for _ in range(jobs):
        _burn(BURNT)


def _burn(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
