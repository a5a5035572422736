"""Proof that the event log is what was written: every chain is walked, the first broken link is named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, cast

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row, tuple_row

from core import queries
from core.database import Database
from core.events import GENESIS, link
from core.json import canonical, is_object
from core.texts import Expectations, Place, held_against

_BATCH = 2000  # rows fetched at a time: memory stays the same however long the log is
_TEXTS_BATCH = 100  # a text has up to 16 MB


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """The first place where a chain is not what was written."""

    run_id: str
    seq: int
    """The position at which the chain breaks."""
    why: str
    text: str = ""
    """The name of the text that is not what was kept; empty where it is the chain itself."""


class Anchor(NamedTuple):
    """Where a run's chain stood at some moment."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a walk along the chains found.

    Not provable from the database alone: that a whole run was removed together with its head, or that
    somebody with the owner's rights rewrote a chain and its head to the end. Anchors prove it.
    """

    ok: bool
    """Every chain is whole."""
    runs: int
    events: int
    texts: int
    """Texts beside the events that were read, and are what the chain says."""
    broken: BrokenLink | None
    protected: bool
    """The login of this process could not change the log even if it tried."""
    unprotected_because: str
    """Empty where it is protected."""
    heads: Mapping[str, Anchor] = field(default_factory=dict[str, Anchor], repr=False)
    """Where each chain stands, of the same moment."""


class Broken(Exception):
    """A chain is not what was written, from here on."""

    def __init__(self, run_id: str, seq: int, why: str, text: str = "") -> None:
        self.link = BrokenLink(run_id, seq, why, text)
        super().__init__(why)


async def verify(
    db: Database, run_id: str | None = None, anchors: Mapping[str, Anchor] | None = None
) -> AuditReport:
    """Walk the chains of all runs, or of one, and their texts, in one snapshot of the database.

    `anchors` says, by run, where chains stood once: each must still lead through that point.
    """
    broken: BrokenLink | None = None
    async with db.pool.connection() as connection:
        why = await _unprotected(connection)
        async with connection.transaction():
            await connection.execute(queries.ONE_SNAPSHOT)
            cursor = await connection.execute(queries.HEADS, {"run_id": run_id})
            heads = {row["run_id"]: Anchor(row["seq"], row["hash"]) for row in await cursor.fetchall()}
            walk = _Walk(heads, anchors or {})
            try:
                await walk.through(connection, run_id)
            except Broken as found:
                broken = found.link
            events = walk.events if broken is None else await _count(connection, run_id)
    return AuditReport(broken is None, len(heads), events, walk.texts, broken, not why, why, heads)


async def flush(db: Database) -> None:
    """Have everything that was committed until now on the disk, events that wait for a checkpoint too."""
    async with db.pool.connection() as connection, connection.transaction():
        await connection.execute(queries.FLUSH)


class _Walk:
    """Follows every chain to its head. Raises Broken at the first thing that is not as it was written."""

    def __init__(self, heads: Mapping[str, Anchor], anchors: Mapping[str, Anchor]) -> None:
        self.events = 0
        self.texts = 0
        self._heads = heads
        self._anchors = anchors

    async def through(self, connection: AsyncConnection[DictRow], run_id: str | None) -> None:
        texts = _Texts(connection, run_id)
        ended: set[str] = set()
        current, seq, prev = "", 0, GENESIS  # no run has an empty id
        expected, anchor = Expectations(), None
        async with texts, connection.cursor(name="audit", row_factory=tuple_row) as cursor:
            cursor.itersize = _BATCH
            await cursor.execute(queries.CHAINS, {"run_id": run_id})
            async for row in cursor:
                if row[0] != current:
                    if current:
                        await self._end(current, seq, prev, expected, texts)
                        ended.add(current)
                    current, seq, prev = cast(str, row[0]), 0, GENESIS
                    expected, anchor = Expectations(), self._anchors.get(current)
                payload = check_record(row, seq + 1, prev)
                seq, prev = row[1], row[8]
                if anchor is not None and seq == anchor.seq and prev != anchor.hash:
                    raise Broken(current, seq, _REWRITTEN)
                expected.take(seq, row[3], payload)
                self.events += 1
            if current:
                await self._end(current, seq, prev, expected, texts)
                ended.add(current)
            cursor = await connection.execute(queries.TEXTS_WITHOUT_EVENT, {"run_id": run_id})
            if (row := await cursor.fetchone()) is not None:
                why = "no event of the chain names this text: it was put in"
                raise Broken(row["run_id"], row["seq"], why, row["name"])
        for run in sorted(self._heads.keys() - ended):
            if self._heads[run].seq > 0:
                raise Broken(run, 1, f"all its {self._heads[run].seq} events are missing")
        for run in sorted(self._anchors.keys() - ended):
            if self._anchors[run].seq > 0:
                raise Broken(
                    run, 1, f"the run is gone: the checkpoint knows {self._anchors[run].seq} events of it"
                )

    async def _end(self, run_id: str, seq: int, last: str, expected: Expectations, texts: _Texts) -> None:
        _check_head(run_id, seq, last, self._heads.get(run_id))
        anchor = self._anchors.get(run_id)
        if anchor is not None and anchor.seq > seq:
            raise Broken(
                run_id,
                seq + 1,
                f"the events {seq + 1} to {anchor.seq} are gone: the checkpoint knows {anchor.seq}",
            )
        self.texts += await texts.check(run_id, expected)


_REWRITTEN = "the chain leads through another event here than when the checkpoint was made: it was rewritten"


class _Texts:
    """The texts of all runs, read beside the chains in the same order."""

    def __init__(self, connection: AsyncConnection[DictRow], run_id: str | None) -> None:
        self._cursor = connection.cursor(name="texts", row_factory=dict_row)
        self._run_id = run_id
        self._row: DictRow | None = None

    async def __aenter__(self) -> None:
        self._cursor.itersize = _TEXTS_BATCH
        await self._cursor.execute(queries.TEXTS, {"run_id": self._run_id})
        self._row = await self._next()

    async def __aexit__(self, *_: object) -> None:
        await self._cursor.close()

    async def _next(self) -> DictRow | None:
        return await self._cursor.fetchone()

    async def check(self, run_id: str, expected: Expectations) -> int:
        """Hold the texts of a run against what its chain says of them; how many there are."""
        seen: set[Place] = set()
        while (row := self._row) is not None and row["run_id"] == run_id:
            place = (row["seq"], row["name"])
            left = expected.texts.get(place)
            if left is None:
                raise Broken(run_id, *_named(place, "no event of the chain names this text: it was put in"))
            if held_against(row["name"], left, row).state in {"missing", "altered"}:
                raise Broken(run_id, *_named(place, "it is not the text that was kept"))
            seen.add(place)
            self._row = await self._next()
        for place, left in expected.texts.items():
            if left.digest is not None and place not in seen:
                raise Broken(
                    run_id, *_named(place, "this text is missing, and no event says that it was forgotten")
                )
        return len(seen)


def _named(place: Place, why: str) -> tuple[int, str, str]:
    return place[0], why, place[1]


def check_record(row: Sequence[Any], seq: int, prev: str) -> dict[str, Any]:
    """The payload of a row of `events` (as in `queries.CHAINS`) that is to follow `prev` at `seq`."""
    run_id, found, at, kind, team, key, record, prev_hash, its_hash = row
    if found != seq:
        raise Broken(run_id, seq, f"event {seq} is missing: the next one is {found}")
    if prev_hash != prev:
        raise Broken(run_id, seq, "it does not follow the event before it: one was exchanged or inserted")
    if link(prev, seq, record) != its_hash:
        raise Broken(run_id, seq, "its text is not the text that was hashed")
    try:
        told = json.loads(record)
        said = (told["run_id"], told["kind"], told["team"], told["key"])
        said_at, text, payload = datetime.fromisoformat(told["at"]), canonical(told), told["payload"]
    except (ValueError, KeyError, TypeError) as error:
        raise Broken(run_id, seq, f"its text is no event: {error}") from error
    if said != (run_id, kind, team, key):
        for name, value, column in zip(
            ("run_id", "kind", "team", "key"), said, (run_id, kind, team, key), strict=True
        ):
            if column != value:
                raise Broken(run_id, seq, f"its column {name} says {column!r}, its text says {value!r}")
    if at != said_at:
        raise Broken(run_id, seq, f"its column at says {at}, its text says {said_at}")
    if text != record:
        raise Broken(run_id, seq, "its text is not canonical")
    if not is_object(payload):
        raise Broken(run_id, seq, "its text is no event: its payload is no object")
    return payload


def _check_head(run_id: str, seq: int, last: str, head: Anchor | None) -> None:
    if head is None:
        raise Broken(run_id, seq, "the run has events but no head")
    if head.seq > seq:
        raise Broken(run_id, seq + 1, f"the events {seq + 1} to {head.seq} are missing at the end")
    if head.seq < seq:
        raise Broken(run_id, head.seq + 1, f"the head stands at {head.seq}: what follows was inserted")
    if head.hash != last:
        raise Broken(run_id, seq, "the head has another hash than the last event")


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
