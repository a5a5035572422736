"""Any number of readers of the log, one connection."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import clock
from core.database import Database, DatabaseUnavailable
from core.events import Entry, Event, EventLog
from core.feed import Wanted
from core.hub import Hub, PositionUnknown, ReaderTooSlow
from core.postgres import EmbeddedPostgres
from core.settings import Settings
from tests.intruder import Admin


@pytest.fixture
def log(database: Database) -> EventLog:
    return EventLog(database)


@pytest.fixture
async def hub(database: Database) -> AsyncIterator[Hub]:
    hub = Hub(database)
    yield hub
    await hub.close()


async def _take(hub: Hub, count: int, *which: str, **more: Any) -> list[Event]:
    seen: list[Event] = []
    async with aclosing(hub.follow(*which, **more)) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == count:
                break
    return seen


async def _many(log: EventLog, run_id: str, count: int) -> None:
    await log.append_all(run_id, [Entry("a.b", {}, key=str(n)) for n in range(count)])


async def _listening(hub: Hub, readers: int) -> None:
    while hub.readers < readers:
        await asyncio.sleep(0.01)
    await hub.listening()


def _cut_all(postgres: EmbeddedPostgres, database_name: str) -> None:
    with psycopg.connect(postgres.conninfo("admin", dbname=database_name), autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def test_a_follower_sees_each_event_once_and_in_order(log: EventLog, hub: Hub) -> None:
    await log.append("run-1", "a.b")
    followers = [asyncio.create_task(_take(hub, 40, "run-1")) for _ in range(3)]
    for _ in range(39):
        await log.append("run-1", "a.b")
        await log.append("run-2", "a.b")
    for seen in await asyncio.wait_for(asyncio.gather(*followers), 30):
        assert [event.seq for event in seen] == list(range(1, 41))
    assert hub.readers == 0


async def test_any_number_of_followers_share_one_connection(log: EventLog, hub: Hub, intruder: Admin) -> None:
    followers = [asyncio.create_task(_take(hub, 5, f"run-{n % 3}")) for n in range(60)]
    await _listening(hub, 60)
    listening = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query LIKE '%number_events%'"
    )
    assert intruder.execute(listening).fetchone() == (1 + 1,)  # and the one that asks
    for n in range(3):
        await _many(log, f"run-{n}", 5)
    for seen in await asyncio.wait_for(asyncio.gather(*followers), 30):
        assert [event.seq for event in seen] == [1, 2, 3, 4, 5]


async def test_a_follower_of_all_gets_positions_that_it_can_come_back_with(log: EventLog, hub: Hub) -> None:
    for n in range(10):
        await log.append(f"run-{n % 2}", "a.b")
    first = await asyncio.wait_for(_take(hub, 4, after=0), 30)
    assert [event.position for event in first] == [1, 2, 3, 4]
    rest = await asyncio.wait_for(_take(hub, 6, after=4), 30)
    assert [event.position for event in rest] == [5, 6, 7, 8, 9, 10]
    both = [(event.run_id, event.seq) for event in first + rest]
    assert sorted(both) == [(f"run-{n}", seq) for n in range(2) for seq in range(1, 6)]


async def test_what_commits_late_is_not_passed_over(log: EventLog, hub: Hub, database: Database) -> None:
    """The trap of a number that is drawn at the insert: the first to insert may be the last to commit."""
    async with aclosing(hub.follow(after=0)) as events, database.pool.connection() as slow:
        async with slow.transaction():
            await log.append("run-slow", "a.b", conn=slow)
            await log.append("run-quick", "a.b")
            assert (await asyncio.wait_for(anext(events), 30)).run_id == "run-quick"
        late = await asyncio.wait_for(anext(events), 30)
    assert (late.run_id, late.position) == ("run-slow", 2)


async def test_two_processes_agree_on_the_order(log: EventLog, database: Database) -> None:
    hubs = [Hub(database), Hub(database), Hub(database)]
    taking = [asyncio.create_task(_take(hub, 120, after=0)) for hub in hubs]
    await asyncio.gather(*(_append_singly(log, f"run-{n}", 30) for n in range(4)))
    seen = await asyncio.wait_for(asyncio.gather(*taking), 20)
    orders = [[(event.position, event.run_id, event.seq) for event in one] for one in seen]
    assert orders[0] == orders[1] == orders[2]
    assert [position for position, _, _ in orders[0]] == list(range(1, 121))
    for hub in hubs:
        await hub.close()


async def _append_singly(log: EventLog, run_id: str, count: int) -> None:
    for _ in range(count):
        await log.append(run_id, "a.b")


async def test_a_clock_that_was_set_back_does_not_turn_a_run_around(log: EventLog, hub: Hub) -> None:
    with clock.use(clock.TestClock()) as set_back:
        set_back.advance(60)
        await log.append("run-1", "a.b")
        set_back.advance(-120)
        await log.append("run-1", "a.b")
    seen = await asyncio.wait_for(_take(hub, 2, after=0), 30)
    assert [event.seq for event in seen] == [1, 2]


async def test_kinds_and_nouns_are_told_apart(log: EventLog, hub: Hub) -> None:
    for kind in ("run.ended", "run.status", "runner.ended", "stage.ended"):
        await log.append("run-1", kind)
    replayed = await asyncio.wait_for(_take(hub, 2, after=0, kinds=["run.*"]), 30)
    assert [event.kind for event in replayed] == ["run.ended", "run.status"]
    live = asyncio.create_task(_take(hub, 2, "run-1", after=4, kinds=["stage.ended", "runner.*"]))
    await _listening(hub, 1)
    for kind in ("run.ended", "stage.ended", "stage.started", "runner.ended"):
        await log.append("run-1", kind)
    assert [event.kind for event in await asyncio.wait_for(live, 30)] == ["stage.ended", "runner.ended"]


async def test_a_follower_of_all_that_gives_no_position_begins_now(log: EventLog, hub: Hub) -> None:
    await log.append("run-1", "before.now")
    taking = asyncio.create_task(_take(hub, 1))
    await _listening(hub, 1)
    await log.append("run-1", "after.now")
    assert [event.kind for event in await asyncio.wait_for(taking, 30)] == ["after.now"]


async def test_a_position_beyond_the_log_is_refused(log: EventLog, hub: Hub) -> None:
    await log.append("run-1", "a.b")
    with pytest.raises(PositionUnknown, match="ends at 1"):
        await asyncio.wait_for(_take(hub, 1, after=7), 30)


async def test_followers_that_lost_their_connection_miss_nothing(
    log: EventLog, hub: Hub, postgres: EmbeddedPostgres, database_name: str
) -> None:
    of_run = asyncio.create_task(_take(hub, 20, "run-1"))
    of_all = asyncio.create_task(_take(hub, 20, after=0))
    await _listening(hub, 2)
    for n in range(10):
        await log.append("run-1", "a.b", key=f"before/{n}")
    _cut_all(postgres, database_name)
    for n in range(10):
        await log.append("run-1", "a.b", key=str(n))
    for seen in await asyncio.wait_for(asyncio.gather(of_run, of_all), 15):
        assert [event.seq for event in seen] == list(range(1, 21))


async def test_a_server_that_is_restarted_in_the_middle_costs_no_event(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    async with Database.open(settings) as database:
        log, hub = EventLog(database), Hub(database)
        taking = asyncio.create_task(_take(hub, 6, after=0))
        await _listening(hub, 1)
        for n in range(3):
            await log.append("run-1", "a.b", key=str(n))
        await _kill(database)
        for n in range(3, 6):
            await _append_until_written(log, str(n))
        seen = await asyncio.wait_for(taking, 30)
        assert [(event.position, event.key) for event in seen] == [(n + 1, str(n)) for n in range(6)]
        await hub.close()


async def _kill(database: Database) -> None:
    """The postmaster throws away what its memory held, and begins anew."""
    other = await database.connect()
    os.kill(other.info.backend_pid, signal.SIGKILL)
    with pytest.raises(psycopg.OperationalError):
        await other.execute("SELECT pg_sleep(30)")
    await other.close()


async def _append_until_written(log: EventLog, key: str) -> None:
    while True:
        try:
            await log.append("run-1", "a.b", key=key)
        except DatabaseUnavailable:
            await asyncio.sleep(0.05)
        else:
            return


async def test_a_slow_reader_is_cut_while_others_go_on(log: EventLog, database: Database) -> None:
    hub = Hub(database, most_bytes=10_000)
    slow = hub.subscribe(Wanted(), after=0).slices()
    quick = hub.follow(after=0)
    for place in (1, 2):  # the second one comes live
        await log.append("run-1", "a.b")
        taken = await asyncio.wait_for(anext(slow), 30)
        assert taken.items[-1].position == place
    for place in range(1, 32):
        if place > 2:
            await log.append("run-1", "a.b", {"text": "x" * 1_000})
        assert (await asyncio.wait_for(anext(quick), 30)).position == place
    await quick.aclose()
    with pytest.raises(ReaderTooSlow, match="Come back after") as cut:
        await asyncio.wait_for(anext(slow), 30)
    place = int(cut.value.todo.split()[-1])
    rest = await asyncio.wait_for(_take(hub, 31 - place, after=place), 30)
    assert rest[-1].position == 31
    await hub.close()


async def test_a_long_past_is_read_in_pages_without_a_gap(log: EventLog, hub: Hub) -> None:
    await _many(log, "run-1", 1_200)
    taking = asyncio.create_task(_take(hub, 1_230, "run-1"))
    for n in range(30):
        await log.append("run-1", "c.d", key=f"more/{n}")
    seen = await asyncio.wait_for(taking, 20)
    assert [event.seq for event in seen] == list(range(1, 1_231))
