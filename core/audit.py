"""Proof that the event log is what was written: every chain is walked, the first broken link is named."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from core import queries
from core.database import Database
from core.events import GENESIS, link
from core.json import canonical

_BATCH = 2000  # rows fetched at a time: memory stays the same however long the log is


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """The first place where a chain is not what was written."""

    run_id: str
    seq: int
    """The position at which the chain breaks."""
    why: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a walk along the chains found.

    Not provable from the database alone: that a whole run was removed together with its head, or that
    somebody with the owner's rights rewrote a chain and its head to the end.
    """

    ok: bool
    """Every chain is whole."""
    runs: int
    events: int
    broken: BrokenLink | None
    protected: bool
    """The login of this process could not change the log even if it tried."""
    unprotected_because: str
    """Empty where it is protected."""


class _Broken(Exception):
    def __init__(self, run_id: str, seq: int, why: str) -> None:
        self.link = BrokenLink(run_id, seq, why)
        super().__init__(why)


async def verify(db: Database, run_id: str | None = None) -> AuditReport:
    """Walk the chains of all runs, or of one, in one snapshot of the database."""
    runs = events = 0
    broken: BrokenLink | None = None
    async with db.pool.connection() as connection:
        why = await _unprotected(connection)
        async with connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor = await connection.execute(queries.HEADS, {"run_id": run_id})
            heads = {row["run_id"]: (row["seq"], row["hash"]) for row in await cursor.fetchall()}
            runs = len(heads)
            try:
                events = await _walk(connection, run_id, heads)
            except _Broken as found:
                broken, events = found.link, await _count(connection, run_id)
    return AuditReport(broken is None, runs, events, broken, not why, why)


async def _walk(
    connection: AsyncConnection[DictRow], run_id: str | None, heads: Mapping[str, tuple[int, str]]
) -> int:
    """Follow every chain to its head; the number of events. Raises _Broken at the first bad link."""
    events = 0
    current: str | None = None
    seq, prev = 0, GENESIS
    ended: set[str] = set()
    async with connection.cursor(name="audit") as cursor:
        cursor.itersize = _BATCH
        await cursor.execute(queries.CHAINS, {"run_id": run_id})
        async for row in cursor:
            if row["run_id"] != current:
                if current is not None:
                    _end(current, seq, prev, heads)
                    ended.add(current)
                current, seq, prev = cast(str, row["run_id"]), 0, GENESIS
            _check(row, seq + 1, prev)
            seq, prev, events = row["seq"], row["hash"], events + 1
    if current is not None:
        _end(current, seq, prev, heads)
        ended.add(current)
    for run in sorted(heads.keys() - ended):
        if heads[run][0] > 0:
            raise _Broken(run, 1, f"all its {heads[run][0]} events are missing")
    return events


def _check(row: Mapping[str, Any], seq: int, prev: str) -> None:
    run_id = row["run_id"]
    if row["seq"] != seq:
        raise _Broken(run_id, seq, f"event {seq} is missing: the next one is {row['seq']}")
    if row["prev_hash"] != prev:
        raise _Broken(run_id, seq, "it does not follow the event before it: one was exchanged or inserted")
    if link(prev, seq, row["record"]) != row["hash"]:
        raise _Broken(run_id, seq, "its text is not the text that was hashed")
    try:
        record = json.loads(row["record"])
        told = {name: record[name] for name in ("run_id", "kind", "team", "key")}
        at, text = datetime.fromisoformat(record["at"]), canonical(record)
    except (ValueError, KeyError, TypeError) as error:
        raise _Broken(run_id, seq, f"its text is no event: {error}") from error
    for name, value in told.items():
        if row[name] != value:
            raise _Broken(run_id, seq, f"its column {name} says {row[name]!r}, its text says {value!r}")
    if row["at"] != at:
        raise _Broken(run_id, seq, f"its column at says {row['at']}, its text says {at}")
    if text != row["record"]:
        raise _Broken(run_id, seq, "its text is not canonical")


def _end(run_id: str, seq: int, last: str, heads: Mapping[str, tuple[int, str]]) -> None:
    if run_id not in heads:
        raise _Broken(run_id, seq, "the run has events but no head")
    head, head_hash = heads[run_id]
    if head > seq:
        raise _Broken(run_id, seq + 1, f"the events {seq + 1} to {head} are missing at the end")
    if head < seq:
        raise _Broken(run_id, head + 1, f"the head stands at {head}: what follows was inserted")
    if head_hash != last:
        raise _Broken(run_id, seq, "the head has another hash than the last event")


async def _count(connection: AsyncConnection[DictRow], run_id: str | None) -> int:
    row = await (await connection.execute(queries.COUNT, {"run_id": run_id})).fetchone()
    return 0 if row is None else row["events"]


async def _unprotected(connection: AsyncConnection[DictRow]) -> str:
    """Why this process could change the log; empty where it could not."""
    row = await (await connection.execute(queries.PROTECTION)).fetchone()
    assert row is not None
    login = row["login"]
    if not row["triggers"]:
        return "a trigger that refuses changes is missing or switched off"
    if row["superuser"]:
        return f"the factory logs in as {login}, a superuser, who can switch the triggers off"
    if row["owner"]:
        return f"the factory logs in as {login}, who owns the log and can switch its triggers off"
    if row["writer"]:
        return f"the factory logs in as {login}, who has the right to write to the log directly"
    return ""
