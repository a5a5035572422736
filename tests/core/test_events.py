"""The event log: order, once only, secrets, transactions."""

import asyncio
from itertools import pairwise

import psycopg
import pytest

from core.database import Database
from core.events import GENESIS, EventLog, EventTooBig, link


@pytest.fixture
def log(database: Database) -> EventLog:
    return EventLog(database)


async def test_events_of_a_run_are_numbered_without_gaps_and_linked(log: EventLog) -> None:
    await asyncio.gather(*(log.append("run-1", "stage.started", {"n": n}) for n in range(30)))
    events = await log.read("run-1")
    assert [event.seq for event in events] == list(range(1, 31))
    assert events[0].prev_hash == GENESIS
    assert all(before.hash == after.prev_hash for before, after in pairwise(events))
    assert sorted(str(event.payload["n"]) for event in events) == sorted(str(n) for n in range(30))


async def test_a_key_is_written_once_however_often_it_is_appended(log: EventLog) -> None:
    events = await asyncio.gather(
        *(log.append("run-1", "stage.done", {"n": n}, team="qa", key="qa/1") for n in range(10))
    )
    assert len({event.hash for event in events}) == 1
    assert len(await log.read("run-1")) == 1
    assert (await log.append("run-2", "stage.done", key="qa/1")).seq == 1


async def test_what_is_read_is_what_was_appended(log: EventLog) -> None:
    payload = {"text": "ü \x00 \udc80 \U0001f600", "list": [1, 2.5, None, True], "deep": {"b": {"a": "c"}}}
    event = await log.append("run-1", "odd.payload", payload, team="qa")
    assert await log.read("run-1") == [event]
    assert event.payload == payload
    assert event.at.utcoffset() is not None


async def test_reading_can_start_after_a_position_and_choose_kinds(log: EventLog) -> None:
    for kind in ("a.b", "c.d", "a.b", "c.d"):
        await log.append("run-1", kind)
    assert [e.seq for e in await log.read("run-1", after=2)] == [3, 4]
    assert [e.seq for e in await log.read("run-1", kinds=["c.d"])] == [2, 4]
    assert [e.seq for e in await log.read("run-1", limit=1)] == [1]


async def test_no_secret_reaches_the_log(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "correct-horse-battery")
    event = await log.append("run-1", "tool.ran", {"output": "KEY=correct-horse-battery", "password": "x"})
    assert event.payload == {"output": "KEY=[redacted]", "password": "[redacted]"}


async def test_an_event_joins_the_transaction_of_its_caller(log: EventLog, database: Database) -> None:
    async with database.pool.connection() as connection, connection.transaction() as transaction:
        await log.append("run-1", "never.happened", conn=connection)
        raise psycopg.Rollback(transaction)
    assert await log.read("run-1") == []
    assert (await log.append("run-1", "first.thing")).seq == 1


async def test_an_event_of_a_megabyte_is_refused(log: EventLog) -> None:
    with pytest.raises(EventTooBig):
        await log.append("run-1", "too.big", {"text": "x" * 1_000_001})
    assert await log.read("run-1") == []


async def test_the_hash_can_be_computed_without_the_database(log: EventLog, database: Database) -> None:
    event = await log.append("run-1", "a.b", {"ü": "ö"})
    async with database.pool.connection() as connection:
        row = await (await connection.execute("SELECT record FROM events")).fetchone()
    assert row is not None
    assert link(GENESIS, 1, row["record"]) == event.hash


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET kind = 'x'",
        "DELETE FROM events",
        "TRUNCATE events",
        "INSERT INTO events VALUES ('r', 1, now(), 'k', NULL, NULL, '{}', '', '')",
        "UPDATE run_heads SET seq = 0",
        "DELETE FROM run_heads",
        "ALTER TABLE events DISABLE TRIGGER only_grows",
        "DROP TABLE events",
    ],
)
async def test_the_service_can_only_append(log: EventLog, database: Database, statement: str) -> None:
    await log.append("run-1", "a.b")
    async with database.pool.connection() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(statement)
