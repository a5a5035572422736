"""Jobs: deferred in somebody's transaction, done once at a time, given back when their worker is gone."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from core.database import Database, DatabaseTooNew
from graph.queue import Job, Later, Queue, queries
from tests.graph.queue.conftest import LEASE, until, working


async def _left(queue: Queue) -> list[tuple[str, str]]:
    async with queue.pool.connection() as conn:
        cursor = await conn.execute("SELECT task_name, status FROM procrastinate_jobs ORDER BY id")
        return [(row["task_name"], row["status"]) for row in await cursor.fetchall()]


async def test_a_job_belongs_to_the_transaction_that_defers_it(queue: Queue, database: Database) -> None:
    done: list[Any] = []

    async def note(job: Job) -> None:
        done.append(job.payload)

    queue.register("note", note)
    async with database.pool.connection() as conn, conn.transaction(force_rollback=True):
        await queue.defer_in(conn, "note", {"n": 1})
    assert await _left(queue) == []
    async with working(queue):
        async with database.pool.connection() as conn, conn.transaction():
            await queue.defer_in(conn, "note", {"n": 2})
        await until(lambda: done)
    assert done == [{"n": 2}]
    assert await _left(queue) == []  # what succeeded is taken away


async def test_jobs_of_one_lock_are_done_one_after_the_other_and_of_one_queueing_lock_once(
    queue: Queue,
) -> None:
    done: list[int] = []
    at_once = most = 0

    async def note(job: Job) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        done.append(job.payload["n"])
        at_once -= 1

    queue.register("note", note)
    for n in range(4):
        await queue.defer("note", {"n": n}, lock="thread")
    first = await queue.defer("note", {"n": 10}, queueing_lock="once")
    assert await queue.defer("note", {"n": 11}, queueing_lock="once") == first
    async with working(queue, jobs=4):
        await until(lambda: len(done) == 5)
    assert [n for n in done if n < 10] == [0, 1, 2, 3]
    assert 10 in done
    assert most <= 2


async def test_the_higher_priority_goes_first_and_a_group_has_a_limit(queue: Queue) -> None:
    done: list[str] = []
    running = most = 0

    async def note(job: Job) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.03)
        running -= 1
        done.append(job.payload["name"])

    queue.register("note", note)
    for name, priority in (("low", -1), ("a", 0), ("b", 0), ("high", 5)):
        await queue.defer("note", {"name": name}, priority=priority, group="shop", most=1)
    async with working(queue, jobs=4):
        await until(lambda: len(done) == 4)
    assert done == ["high", "a", "b", "low"]
    assert most == 1


async def test_a_job_put_off_comes_again_and_one_that_fails_is_kept(queue: Queue) -> None:
    seen: list[int] = []

    async def sometimes(job: Job) -> None:
        seen.append(job.attempt)
        if job.attempt < 3:
            raise Later(0.05, "not yet")

    async def never(_: Job) -> None:
        raise ValueError("no")

    queue.register("sometimes", sometimes)
    queue.register("never", never)
    await queue.defer("sometimes", {})
    await queue.defer("never", {})
    async with working(queue):
        await until(lambda: len(seen) == 3)
    assert seen == [1, 2, 3]
    assert await _left(queue) == [("never", "failed")]


async def test_a_worker_that_ends_hands_over_what_it_does_at_once(queue: Queue) -> None:
    began = asyncio.Event()
    done: list[int] = []

    async def slow(job: Job) -> None:
        began.set()
        if job.attempt == 1:
            await asyncio.Event().wait()
        done.append(job.attempt)

    queue.register("slow", slow, held=True)
    await queue.defer("slow", {}, lock="one")
    async with working(queue):
        await began.wait()
    assert await _left(queue) == [("slow", "todo")]
    async with working(queue):
        await until(lambda: done, seconds=5)
    assert done == [2]


async def test_a_worker_hands_over_and_ends_where_a_newer_release_migrates_the_database(
    queue: Queue, database: Database
) -> None:
    began = asyncio.Event()

    async def slow(_: Job) -> None:
        began.set()
        await asyncio.Event().wait()

    queue.register("slow", slow)
    await queue.defer("slow", {})
    async with working(queue) as task:
        await began.wait()
        async with await psycopg.AsyncConnection.connect(database.owner, autocommit=True) as owner:
            await owner.execute("UPDATE factory.alembic_version SET version_num = '9999'")
        with pytest.raises(DatabaseTooNew, match="9999"):
            async with asyncio.timeout(30):
                await task
    assert await _left(queue) == [("slow", "todo")]


async def test_a_job_whose_worker_is_gone_is_given_back_and_the_worker_cannot_end_it_any_more(
    queue: Queue,
) -> None:
    release, began = asyncio.Event(), asyncio.Event()
    attempts: list[int] = []

    async def slow(job: Job) -> None:
        attempts.append(job.attempt)
        began.set()
        await release.wait()

    queue.register("slow", slow)
    job_id = await queue.defer("slow", {})
    async with working(queue, jobs=1):
        await began.wait()
        async with queue.pool.connection() as conn:
            # Its beat stays out for longer than a lease; somebody else's reaper sees that.
            await conn.execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'")
            assert await queries.reap(conn, LEASE) == 1
            await conn.execute(
                "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() + interval '1 h')"
            )
            cursor = await conn.execute(
                "SELECT * FROM fetch_job('{slow}', (SELECT max(id) FROM procrastinate_workers))"
            )
            row = await cursor.fetchone()
            assert row
            assert (row["id"], row["attempts"]) == (job_id, 1)
        release.set()
        await asyncio.sleep(0.2)
        assert await _left(queue) == [("slow", "doing")]  # that of the other, untouched
    assert attempts == [1]


async def test_a_beat_that_is_in_time_keeps_a_job(queue: Queue) -> None:
    release, began = asyncio.Event(), asyncio.Event()
    attempts: list[int] = []

    async def slow(job: Job) -> None:
        attempts.append(job.attempt)
        began.set()
        await release.wait()

    queue.register("slow", slow)
    await queue.defer("slow", {})
    async with working(queue), working(queue):
        await began.wait()
        await asyncio.sleep(2 * LEASE)
        release.set()
        await until(lambda: _none_left(queue))
    assert attempts == [1]


async def test_a_job_that_somebody_stops_is_cancelled_at_once(queue: Queue) -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    async def slow(_: Job) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    queue.register("slow", slow)
    job_id = await queue.defer("slow", {})
    async with working(queue):
        await began.wait()
        async with queue.pool.connection() as conn:
            await queries.stop(conn, [job_id])
        await asyncio.wait_for(stopped.wait(), 30)
        await until(lambda: _is(queue, [("slow", "aborted")]))


async def _none_left(queue: Queue) -> bool:
    return await _left(queue) == []


async def _is(queue: Queue, wanted: list[tuple[str, str]]) -> bool:
    return await _left(queue) == wanted
