"""One character changed anywhere in the log is found, and the place is named: run, event, text."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.errors import UniqueViolation

from core.audit import verify
from core.database import Database
from core.events import EventLog
from core.json import JsonValue
from tests.intruder import Admin

EVENT = ("run_id", "at", "kind", "team", "key", "record", "prev_hash", "hash")
TEXT = ("run_id", "name", "salt", "body")
PLACES = [
    *(("events", column) for column in EVENT),
    *(("event_texts", column) for column in TEXT),
    ("run_heads", "run_id"),
    ("run_heads", "hash"),
    *((table, "seq") for table in ("events", "event_texts", "run_heads")),
]


@pytest.fixture
async def log(database: Database) -> EventLog:
    log = EventLog(database)
    for run in ("run-a", "run-b"):
        for n in range(1, 4):
            texts: dict[str, JsonValue] | None = (
                {"brief": f"brief {n} 🌱", "result": {"n": n}} if n == 2 else None
            )
            await log.append(run, "step.done", {"n": n, "said": "ดี"}, team="qa", key=f"k/{n}", texts=texts)
    return log


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.sampled_from(PLACES),
    row=st.integers(0, 5),
    where=st.integers(0, 400),
    to=st.sampled_from('0aZ"}'),
)
async def test_one_changed_character_is_found_and_named(
    log: EventLog, database: Database, intruder: Admin, place: tuple[str, str], row: int, where: int, to: str
) -> None:
    table, column = place
    told = intruder.execute(
        f"SELECT ctid::text, run_id, seq, {column}::text AS before FROM {table} ORDER BY 2, 3, 4"  # type: ignore[arg-type]
    ).fetchall()
    ctid, run, seq, before = told[row % len(told)]
    assert isinstance(before, str)
    after = _changed(column, before, where, to)
    # By its place on the disk: its names may be what was changed.
    change = f"UPDATE {table} SET {column} = %s WHERE ctid = %s RETURNING ctid::text"
    try:
        changed = intruder.execute(change, (after, ctid)).fetchone()  # type: ignore[arg-type]
    except UniqueViolation:  # another entry has that name: the table itself refuses
        return
    assert changed is not None
    try:
        broken = (await verify(database)).broken
    finally:
        intruder.execute(change, (before, *changed))  # type: ignore[arg-type]
    assert broken is not None, (table, column, before, after)
    assert broken.run_id in (run, after)
    if table == "event_texts":
        assert broken.text
    if column not in ("run_id", "seq") and table != "run_heads":
        assert broken.seq == seq
    assert (await verify(database)).ok


def _changed(column: str, before: str, where: int, to: str) -> str:
    if column == "seq":
        return str(int(before) + 7)
    if column == "at":
        return before.replace("20", "21", 1)
    where %= len(before)
    return before[:where] + (to if before[where] != to else "1") + before[where + 1 :]
