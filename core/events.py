"""The event log: what is not in it did not happen. Append-only, hash-chained, one chain a run."""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from core import clock, faults, queries
from core.database import Database, DatabaseUnavailable
from core.errors import BadInput
from core.incarnation import Connection, is_pinned
from core.json import JsonObject, JsonValue, canonical
from core.redaction import redact
from core.said import PREFIX, put_back, taken_out
from core.texts import FIELD, FORGOTTEN, Expectations, KeptText, Place, Sealed, held_against, named, seal

GENESIS = "0" * 64
"""What the first event of a run has for a previous hash."""
SERVICE = "service"
"""The `run_id` of the service's own chain: who came in, who was refused, whose rights changed."""


class EventTooBig(BadInput):
    """An event's payload is too big for the log; large text belongs into the workspace."""


LARGEST_RECORD = 1_000_000  # bytes
_TOGETHER = 5
"""Events in one statement: of those with more than fifty values the driver does not keep the parsed form."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a run."""

    run_id: str
    seq: int
    """1 for the first event of the run, without gaps."""
    at: datetime
    kind: str
    """What happened, `noun.verb`: `stage.started`, `approval.decided`."""
    team: str | None
    payload: JsonObject
    """What the record says, with what somebody said in it, which stands beside it (core/said.py)."""
    prev_hash: str
    hash: str
    """sha256 over the previous hash, the position and the stored text, in hex."""
    key: str | None = None
    """Under what it happened once; of a stage's event, the stage's name stands before the first slash."""
    position: int | None = field(default=None, compare=False)
    """Its place among the events of all runs, where a hub handed it out; given after it was committed."""


def link(prev_hash: str, seq: int, record: str) -> str:
    """The hash of an event; `factory.append_event` computes the same in SQL."""
    return sha256(f"{prev_hash}\n{seq}\n{record}".encode()).hexdigest()


def from_row(row: Mapping[str, Any]) -> Event:
    """The event that a row of the log is."""
    record = json.loads(row["record"])
    put_back(record["payload"], row.get("said"))
    return Event(
        run_id=row["run_id"],
        seq=row["seq"],
        at=datetime.fromisoformat(record["at"]),
        kind=record["kind"],
        team=record["team"],
        payload=record["payload"],
        prev_hash=row["prev_hash"],
        hash=row["hash"],
        key=record["key"],
        position=row.get("position"),
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """An event that is still to be written, once: its key says whether it was."""

    kind: str
    payload: Mapping[str, JsonValue]
    key: str
    team: str | None = None
    texts: Mapping[str, JsonValue] | None = None
    """What is kept beside the chain, so that it can be forgotten (core/texts.py)."""


class EventLog:
    """Appends to and reads the log of a database; it is followed by a hub (core/hub.py)."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def append(
        self,
        run_id: str,
        kind: str,
        payload: Mapping[str, JsonValue] | None = None,
        *,
        team: str | None = None,
        key: str | None = None,
        texts: Mapping[str, JsonValue] | None = None,
        conn: AsyncConnection[DictRow] | None = None,
        last: bool = False,
    ) -> Event:
        """Write one event and return it, in one round trip; `texts` are kept beside it (core/texts.py).

        With a `key` it happens once: a second append with the same `run_id` and `key` writes nothing and
        returns the first event. With `conn` it belongs to that connection's transaction, and appends to the
        same run wait until that ends. `last` says that no checkpoint follows, so that it is on the disk when
        this returns. Secrets in payload and texts are masked. Raises EventTooBig, TextTooBig,
        DatabaseUnavailable.
        """
        values = _values(run_id, kind, payload, team, key, texts)
        faults.point("event.append")
        if conn is not None:
            return await self._append(conn, values)
        try:
            try:
                async with self._db.pool.connection() as own:
                    return await self._append(
                        own, values, lazily=key is not None and not last and is_pinned()
                    )
            except psycopg.OperationalError:
                # Nobody knows whether it was written before the connection broke: only a key makes
                # it safe to say it again.
                if key is None:
                    raise
                async with self._db.pool.connection() as own:
                    return await self._append(own, values)
        except psycopg.OperationalError as error:
            raise _unwritten(kind, run_id, error) from error

    async def note(
        self,
        conn: AsyncConnection[DictRow],
        run_id: str,
        kind: str,
        payload: Mapping[str, JsonValue],
        *,
        key: str,
    ) -> None:
        """Write one event in that connection's transaction, once, and do not read it back: in a pipeline
        nothing is waited for. Raises EventTooBig, TextTooBig."""
        values = _values(run_id, kind, payload, None, key, None)
        faults.point("event.append")
        await conn.execute(*_statement([values], lazily=False))

    async def append_all(self, run_id: str, entries: Sequence[Entry]) -> list[Event]:
        """Write several events of a run, in order, all or none, in one round trip. Each needs a key."""
        if not entries:
            return []
        values = [_values(run_id, e.kind, e.payload, e.team, e.key, e.texts) for e in entries]
        faults.point("event.append")
        try:
            try:
                return await self._append_values(values)
            except psycopg.OperationalError:
                return await self._append_values(values)  # whether it was written is not known; the keys know
        except psycopg.OperationalError as error:
            raise _unwritten(", ".join(entry.kind for entry in entries), run_id, error) from error

    async def _append_values(self, values: Sequence[Mapping[str, Any]]) -> list[Event]:
        parts = [values[start : start + _TOGETHER] for start in range(0, len(values), _TOGETHER)]
        async with self._db.pool.connection() as own:
            async with own.pipeline() if len(parts) > 1 else nullcontext():
                told = [await own.execute(*_statement(part, lazily=is_pinned())) for part in parts]
            rows = [row for cursor in told for row in await cursor.fetchall()]
        return [await self._written(row, value) for row, value in zip(rows, values, strict=True)]

    async def _append(
        self, connection: Connection, values: Mapping[str, Any], *, lazily: bool = False
    ) -> Event:
        row = await (await connection.execute(*_statement([values], lazily=lazily))).fetchone()
        assert row is not None
        return await self._written(row, values, connection)

    async def _written(
        self, row: DictRow, values: Mapping[str, Any], conn: Connection | None = None
    ) -> Event:
        """The event of a row that `append` gave back; what was said in one of before is read."""
        if row["record"] == values["record"]:
            said = dict(zip(values["names"], values["bodies"], strict=True))
            return from_row({**row, "said": said})
        if PREFIX not in row["record"]:
            return from_row(row)
        place = {"run_id": row["run_id"], "seqs": [row["seq"]]}
        if conn is not None:
            return from_row(await (await conn.execute(queries.READ_AT, place)).fetchone() or row)
        [event] = await self.at(row["run_id"], [row["seq"]])
        return event

    async def read(
        self,
        run_id: str,
        *,
        after: int = 0,
        limit: int | None = None,
        kinds: Sequence[str] | None = None,
    ) -> list[Event]:
        """The events of a run after position `after`, in order; of those `kinds` only, where given."""
        async with self._db.pool.connection() as connection:
            return await _read(connection, run_id, after, limit, kinds)

    async def at(self, run_id: str, seqs: Sequence[int]) -> list[Event]:
        """The events of a run at these positions, in order."""
        async with self._db.pool.connection() as connection:
            cursor = await connection.execute(queries.READ_AT, {"run_id": run_id, "seqs": list(seqs)})
            return [from_row(row) for row in await cursor.fetchall()]

    async def texts(self, run_id: str, seqs: Sequence[int] | None = None) -> dict[Place, KeptText]:
        """The texts beside a run's events (of those at `seqs` only, where given), held against the chain."""
        async with self._db.pool.connection() as connection, connection.transaction():
            await connection.execute(queries.ONE_SNAPSHOT)
            asked = {"run_id": run_id, "kind": FORGOTTEN, "seqs": None if seqs is None else list(seqs)}
            expected = Expectations()
            for row in await (await connection.execute(queries.READ_TEXTED, asked)).fetchall():
                record = json.loads(row["record"])
                expected.take(row["seq"], record["kind"], record["payload"])
            cursor = await connection.execute(queries.READ_TEXTS, asked)
            rows = {(row["seq"], row["name"]): row for row in await cursor.fetchall()}
        return {
            place: held_against(place[1], left, rows.get(place)) for place, left in expected.texts.items()
        }


def _values(
    run_id: str,
    kind: str,
    payload: Mapping[str, JsonValue] | None,
    team: str | None,
    key: str | None,
    texts: Mapping[str, JsonValue] | None,
) -> dict[str, object]:
    at = clock.now()
    told, sealed = redact(dict(payload or {})), list[Sealed]()
    if kept := {**(texts or {}), **taken_out(kind, told)}:
        assert FIELD not in told, f"`{FIELD}` is where a payload names its texts"
        sealed = seal(kept)
        told[FIELD] = named(sealed)
    record = canonical(
        {
            "at": at.isoformat(),
            "key": key,
            "kind": kind,
            "payload": told,
            "run_id": run_id,
            "team": team,
        }
    )
    if len(record.encode()) > LARGEST_RECORD:
        raise EventTooBig(
            f"The event {kind} of run {run_id} has {len(record)} characters; {LARGEST_RECORD} bytes fit",
            untouched="It was not written",
        )
    return {
        "run_id": run_id,
        "at": at,
        "kind": kind,
        "team": team,
        "key": key,
        "record": record,
        "names": [text.name for text in sealed],
        "salts": [text.salt for text in sealed],
        "bodies": [text.body for text in sealed],
    }


def _statement(values: Sequence[Mapping[str, Any]], *, lazily: bool) -> tuple[bytes, dict[str, Any]]:
    """What appends these events, which are of one run, and what it is given."""
    given: dict[str, Any] = {"run_id": values[0]["run_id"]}
    for number, one in enumerate(values):
        given |= {f"{name}{number}": value for name, value in one.items()}
    return queries.append(tuple(bool(one["names"]) for one in values), lazily=lazily), given


def _unwritten(kind: str, run_id: str, error: Exception) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"The event {kind} of run {run_id} could not be written: {str(error).strip()}",
        todo="Resume the run when the database is back",
    )


async def _read(
    connection: AsyncConnection[DictRow],
    run_id: str,
    after: int,
    limit: int | None,
    kinds: Sequence[str] | None,
) -> list[Event]:
    cursor = await connection.execute(
        queries.READ,
        {
            "run_id": run_id,
            "after": after,
            "limit": limit,
            "kinds": None if kinds is None else list(kinds),
        },
    )
    return [from_row(row) for row in await cursor.fetchall()]
