"""What people and teams said stands beside the chain, and is read as if it stood in it."""

from contextlib import aclosing
from typing import Any

import pytest

from core import clock
from core.audit import verify
from core.database import Database
from core.events import Entry, EventLog
from core.hub import Hub
from core.json import canonical
from core.said import SAID
from tests.intruder import Admin

ASKED: dict[str, Any] = {"asker": "qa", "target": "backend", "question": "Who is Anna Jansen?", "depth": 1}


@pytest.fixture
def log(database: Database) -> EventLog:
    return EventLog(database)


def records(admin: Admin) -> str:
    return "".join(row[0] for row in admin.execute("SELECT record FROM events ORDER BY seq").fetchall())


async def test_what_was_said_is_read_wherever_events_are_and_is_not_in_the_chain(
    log: EventLog, database: Database, intruder: Admin
) -> None:
    first = await log.append("run-a", "clarification.asked", ASKED, team="qa", key="one")
    again = await log.append("run-a", "clarification.asked", ASKED, team="qa", key="one")
    [third] = await log.append_all("run-a", [Entry("review.given", {"findings": ["Anna"]}, "two", "qa")])
    read, at = await log.read("run-a"), await log.at("run-a", [1, 2])
    assert [first.payload, again.payload, read[0].payload, at[0].payload] == [ASKED] * 4
    assert [third.payload, read[1].payload, at[1].payload] == [{"findings": ["Anna"]}] * 3
    async with database.pool.connection() as own, own.transaction():
        same = await log.append("run-a", "clarification.asked", ASKED, team="qa", key="one", conn=own)
    assert (same.payload, same.seq) == (ASKED, 1)
    hub = Hub(database)
    async with aclosing(hub.follow("run-a")) as events:
        assert (await anext(events)).payload == ASKED
    await hub.close()
    assert "Anna" not in records(intruder)
    assert (await verify(database)).texts == 2


async def test_a_record_of_before_says_itself_what_was_said(
    log: EventLog, database: Database, intruder: Admin
) -> None:
    at, kind = clock.now(), "clarification.asked"
    record = canonical(
        {"at": at.isoformat(), "key": None, "kind": kind, "payload": ASKED, "run_id": "run-o", "team": "qa"}
    )
    intruder.execute(
        "SELECT append_event(%s, %s, %s, %s, %s, %s)",
        ("run-o", at, kind, "qa", None, record),
    )
    assert [event.payload for event in await log.read("run-o")] == [ASKED]
    assert (await verify(database)).ok


async def test_a_text_that_somebody_took_away_breaks_no_reader_and_is_found(
    log: EventLog, database: Database, intruder: Admin
) -> None:
    await log.append("run-a", "clarification.asked", ASKED, team="qa")
    intruder.execute("DELETE FROM event_texts")
    [event] = await log.read("run-a")
    assert event.payload["question"] == "[forgotten]"
    assert not (await verify(database)).ok


async def test_nothing_that_is_empty_is_kept_beside(log: EventLog, database: Database) -> None:
    for kind, fields in SAID.items():
        await log.append("run-a", kind, dict.fromkeys(fields))
    assert (await verify(database)).texts == 0
