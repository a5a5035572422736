"""Texts beside the chain: kept with their event or not at all, proven by their hash, gone when forgotten."""

import json

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.audit import verify
from core.database import Database
from core.events import Entry, EventLog
from core.json import JsonValue
from core.postgres import EmbeddedPostgres
from core.settings import Settings
from core.texts import TextTooBig, seal
from tests.intruder import Admin

RESULT = {"status": "COMPLETE", "verified_facts": ["loans last two weeks", "เงินกู้ 🌱"]}


@pytest.fixture
async def log(database: Database) -> EventLog:
    log = EventLog(database)
    for run in ("run-a", "run-b"):
        await log.append(run, "stage.started", {"round": 1}, team="qa", key="qa.1/started")
        await log.append(
            run,
            "stage.snapshot",
            {"commit": "c0ffee"},
            team="qa",
            key="qa.1/snapshot",
            texts={"brief": "You lend tools to neighbours.", "result": RESULT},
        )
        await log.append(run, "stage.ended", {"verdict": "pass"}, team="qa", key="qa.1/ended")
    return log


async def test_a_text_lies_beside_the_chain_and_comes_back_as_it_was(log: EventLog) -> None:
    event = (await log.read("run-a"))[1]
    assert "neighbours" not in json.dumps(event.payload)
    texts = await log.texts("run-a")
    assert {place: text.state for place, text in texts.items()} == {
        (2, "brief"): "whole",
        (2, "result"): "whole",
    }
    assert texts[(2, "brief")].value == "You lend tools to neighbours."
    assert texts[(2, "result")].value == RESULT
    assert await log.texts("run-a", [1]) == {}


async def test_the_same_text_has_another_hash_each_time(log: EventLog) -> None:
    told = [(await log.read(run))[1].payload["texts"] for run in ("run-a", "run-b")]
    assert told[0] != told[1]


async def test_a_node_that_runs_twice_keeps_the_first_text(log: EventLog, database: Database) -> None:
    entries = [Entry("stage.snapshot", {}, "qa.1/snapshot", "qa", {"brief": "another", "more": "text"})]
    await log.append_all("run-a", entries)
    texts = await log.texts("run-a")
    assert texts[(2, "brief")].value == "You lend tools to neighbours."
    assert set(texts) == {(2, "brief"), (2, "result")}
    assert (await verify(database)).ok


async def test_secrets_in_texts_are_masked_before_they_are_kept(log: EventLog, database: Database) -> None:
    await log.append(
        "run-c", "x", texts={"brief": "use sk-abcdefghijklmnop1234567890", "r": {"password": "hunter22"}}
    )
    async with database.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT string_agg(body, '') AS all FROM event_texts WHERE run_id = 'run-c'"
        )
        row = await cursor.fetchone()
    assert row is not None
    assert "sk-abc" not in row["all"]
    assert "hunter22" not in row["all"]


def test_a_text_that_is_too_big_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.texts.LARGEST_TEXT", 1000)
    with pytest.raises(TextTooBig, match="was not written"):
        seal({"brief": "é" * 500})
    assert seal({"brief": "é" * 499})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON)
async def test_any_json_comes_back_as_it_was(database: Database, value: JsonValue) -> None:
    log = EventLog(database)
    event = await log.append("run-any", "x", texts={"t": value})
    assert (await log.texts("run-any", [event.seq]))[(event.seq, "t")].value == value


BRIEF, ANSWER = "run_id = 'run-b' AND name = 'brief'", "run_id = 'run-b' AND name = 'result'"
GONE = "salt = NULL, body = NULL, forgotten_by = 3"
PUT = "INSERT INTO event_texts VALUES"

TAMPERINGS = [
    (
        f"UPDATE event_texts SET body = replace(body, 'tools', 'cars') WHERE {BRIEF}",
        2,
        "brief",
        "not the text",
    ),
    (f"UPDATE event_texts SET salt = repeat('0', 32) WHERE {ANSWER}", 2, "result", "not the text"),
    (f"DELETE FROM event_texts WHERE {BRIEF}", 2, "brief", "missing"),
    (f"UPDATE event_texts SET {GONE} WHERE {BRIEF}", 2, "brief", "not the text"),
    (f"UPDATE event_texts SET forgotten_by = 3 WHERE {BRIEF}", 2, "brief", "not the text"),
    (f"{PUT} ('run-b', 3, 'brief', 's', '\"x\"', NULL)", 3, "brief", "put in"),
    (f"{PUT} ('run-b', 2, 'other', 's', '\"x\"', NULL)", 2, "other", "put in"),
    (f"UPDATE event_texts SET name = 'bries' WHERE {BRIEF}", 2, "bries", "put in"),
    (f"UPDATE event_texts SET seq = 1 WHERE {BRIEF}", 1, "brief", "put in"),
    (f"{PUT} ('run-z', 1, 'brief', 's', '\"x\"', NULL)", 1, "brief", "put in"),
]


@pytest.mark.parametrize(("tampering", "seq", "text", "why"), TAMPERINGS)
async def test_a_tampered_text_is_found_and_named(
    log: EventLog,
    database: Database,
    intruder: Admin,
    tampering: str,
    seq: int,
    text: str,
    why: str,
) -> None:
    assert (await verify(database)).texts == 4
    intruder.execute(tampering)  # type: ignore[arg-type]
    broken = (await verify(database)).broken
    assert broken is not None
    assert (broken.run_id, broken.seq, broken.text) == (
        "run-z" if "run-z" in tampering else "run-b",
        seq,
        text,
    )
    assert why in broken.why
    assert (await verify(database, "run-a")).ok


async def test_the_texts_are_found_in_whatever_order_the_database_sorts_runs(
    log: EventLog, database: Database
) -> None:
    for run in ("Run-A", "run_a", "RUN-B", "run-É", "run a"):
        await log.append(run, "x", texts={"brief": run})
    assert (await verify(database)).texts == 9


async def test_nobody_changes_a_text_but_by_forgetting(
    log: EventLog, postgres: EmbeddedPostgres, database_name: str, settings: Settings, service_url: str
) -> None:
    with psycopg.connect(postgres.conninfo("admin", dbname=database_name), autocommit=True) as admin:
        admin.execute("SET session_replication_role = replica")
        for statement in (
            "UPDATE factory.event_texts SET body = '\"x\"'",
            "UPDATE factory.event_texts SET body = NULL, salt = NULL, forgotten_by = 3",
            "DELETE FROM factory.event_texts",
            "TRUNCATE factory.event_texts",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                admin.execute(statement)  # type: ignore[arg-type]
    with psycopg.connect(service_url, autocommit=True) as service:
        for statement in (
            "INSERT INTO factory.event_texts VALUES ('run-a', 2, 'x', 's', 'b', NULL)",
            "UPDATE factory.event_texts SET body = '\"x\"'",
            "SELECT factory.write_event(h, now(), 'x', NULL, NULL, '{}') FROM factory.run_heads h",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                service.execute(statement)  # type: ignore[arg-type]
