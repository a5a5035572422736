"""What the audit costs: appending against a plain insert, and how fast the chains are walked.

Append: a run's events one after the other, each with its key, as the factory writes them, against an insert
of the same row, by the same pool, into a table with the same indexes and no chain. Same server (the embedded
one, which writes through to the disk), same durability, both in turn, one by one; the medians are compared.

Verify: chains of events of the sizes that runs have, walked as `factory audit verify` does it.

Search: what the first search after them pays to index the same events, and what a search costs then.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import psycopg

from benchmarks.measure import Measurement
from core import audit, clock
from core.database import Database
from core.events import Entry, EventLog
from core.json import JsonObject, canonical
from core.postgres import EmbeddedPostgres
from core.settings import Settings
from memory.audit.phrases import Phrase
from memory.audit.search import bring_up_to_date, search

_ROUNDS = 9
_EVENTS = 200
_RUNS, _LENGTH = 100, 1000
_GOAL = 1.5
_INDEX_GOAL = 1.0
_SEARCH_GOAL = 100.0
_SLOWEST = 20.0  # microseconds a row: 50,000 rows a second

_PLAIN = """
CREATE TABLE plain (run_id text NOT NULL, seq bigint NOT NULL, at timestamptz NOT NULL, kind text NOT NULL,
    team text, key text, record text NOT NULL, PRIMARY KEY (run_id, seq));
CREATE UNIQUE INDEX ON plain (run_id, key) WHERE key IS NOT NULL
"""
_INSERT = "INSERT INTO plain VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING run_id, seq, record"


def measure() -> Iterator[Measurement]:
    """Yield the measurements."""
    append, plain, wall, cpu, indexed, found = asyncio.run(_measure())
    yield Measurement("audit: append an event", append, "ms", goal=_GOAL, baseline=plain)
    yield Measurement(f"audit: verify {_RUNS * _LENGTH:,} events, wall", wall, "µs/row", goal=_SLOWEST)
    yield Measurement("audit: the same, CPU of this process", cpu, "µs/row", goal=_SLOWEST)
    yield Measurement("audit: index for the search, once an event", indexed, "ms", goal=_INDEX_GOAL)
    yield Measurement(f"audit: find a phrase in {_RUNS * _LENGTH:,} events", found, "ms", goal=_SEARCH_GOAL)


async def _measure() -> tuple[float, float, float, float, float, float]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with Database.open(Settings(home=Path(home))) as db:
            await asyncio.to_thread(_make_plain, Path(home))
            append, plain = await _append(db)
            await _fill(EventLog(db))
            taken = [await _walked(db) for _ in range(5)]
            # The least of them: whatever else runs on the machine only adds.
            wall, cpu = min(wall for wall, _ in taken), min(cpu for _, cpu in taken)
            began = time.perf_counter()
            await bring_up_to_date(db)
            indexed = (time.perf_counter() - began) * 1000 / (_RUNS * _LENGTH + _ROUNDS * _EVENTS)
            return append, plain, wall, cpu, indexed, await _found(db)


def _make_plain(home: Path) -> None:
    # As the owner: the service's role makes no tables, and a temporary one is not written through.
    postgres = EmbeddedPostgres.acquire(home)
    try:
        with psycopg.connect(postgres.conninfo("owner"), options="-c search_path=factory") as owner:
            owner.execute(_PLAIN)
            owner.execute("GRANT SELECT, INSERT ON plain TO PUBLIC")
    finally:
        postgres.release()


def _payload(number: int) -> JsonObject:
    return {
        "tool": "write_file",
        "ok": True,
        "summary": f"src/app_{number}.py: 120 lines, 4,096 bytes written",
    }


async def _append(db: Database) -> tuple[float, float]:
    """Milliseconds of an append and of a plain insert."""
    log = EventLog(db)

    async def appended(turn: int, number: int) -> None:
        key = f"stage.1/act/{number}"
        await log.append(f"run-{turn}", "action.observed", _payload(number), team="qa", key=key)

    async def inserted(turn: int, number: int) -> None:
        at, key = clock.now(), f"stage.1/act/{number}"
        record = canonical(
            {"at": at.isoformat(), "key": key, "kind": "action.observed", "payload": _payload(number),
             "run_id": f"run-{turn}", "team": "qa"}
        )  # fmt: skip
        async with db.pool.connection() as own:
            cursor = await own.execute(
                _INSERT, (f"run-{turn}", number, at, "action.observed", "qa", key, record)
            )
            await cursor.fetchone()

    taken: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(_ROUNDS):
        for number in range(_EVENTS):
            # In turn, one by one: whatever else the machine's disk does happens to both.
            for chained in (True, False):
                began = time.perf_counter()
                await (appended if chained else inserted)(turn, number)
                taken[chained].append((time.perf_counter() - began) * 1000)
    return median(taken[True]), median(taken[False])


async def _fill(log: EventLog) -> None:
    for run in range(_RUNS):
        entries = [
            Entry("action.observed", _payload(number), f"stage.1/act/{number}", "qa")
            for number in range(_LENGTH)
        ]
        await log.append_all(f"long-{run}", entries)


async def _found(db: Database) -> float:
    """Milliseconds of a search for words that stand in every event, in an order that one a run has."""
    taken: list[float] = []
    for number in range(20):
        began = time.perf_counter()
        hits = await search(db, Phrase(f"app {number + 700} py 120 lines"), limit=10)
        taken.append((time.perf_counter() - began) * 1000)
        assert len(hits.found) == 10, hits
    return median(taken)


async def _walked(db: Database) -> tuple[float, float]:
    """Microseconds a row: wall, and CPU of this process."""
    began, cpu = time.perf_counter(), time.process_time()
    report = await audit.verify(db)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert report.ok, report
    return wall / report.events * 1e6, cpu / report.events * 1e6
