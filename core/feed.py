"""The events of all runs in one order, as readers take them: in pages, filtered, parsed by who needs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from core import queries
from core.events import Event, from_row
from core.json import canonical
from core.said import put_back

PAGE: Final = 1_000
"""Events that one reading of the table gives at most."""
PAGE_BYTES: Final = 1_000_000
"""Bytes of records after which a page ends; the last one may go beyond."""

Connection = AsyncConnection[DictRow]


@dataclass(frozen=True)
class Noted:
    """An event as it lies in the table."""

    position: int | None
    """Its place among the events of all runs; None where it has none yet, or was imported."""
    project: str | None
    """None for what is of no run, such as a team's memory."""
    run_id: str
    seq: int
    kind: str
    record: str
    """The canonical JSON that was hashed."""
    prev_hash: str
    hash: str
    said: Mapping[str, str | None] | None = None
    """What stands beside the record of what somebody said in the event (core/said.py), by name."""

    @cached_property
    def event(self) -> Event:
        """The same, parsed; once, however many read it."""
        return from_row(vars(self))

    @cached_property
    def told(self) -> str:
        """The record, with what somebody said in the event where it belongs."""
        if self.said is None:
            return self.record
        record = json.loads(self.record)
        put_back(record["payload"], self.said)
        return canonical(record)


@dataclass(frozen=True)
class Wanted:
    """Which events a reader wants; None stands for all."""

    run_id: str | None = None
    """One run, in the order of its chain: a place is a seq. Else a place is a position."""
    runs: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    """`stage.started`, or `stage.*` for all of a noun."""
    projects: tuple[str, ...] | None = None
    of_projects: bool = False
    """Only what is of some project: not the service's own chains, nor a team's memory."""

    @cached_property
    def _exactly(self) -> frozenset[str]:
        return frozenset(kind for kind in self.kinds or () if not kind.endswith(".*"))

    @cached_property
    def _nouns(self) -> frozenset[str]:
        return frozenset(kind.removesuffix(".*") for kind in self.kinds or () if kind.endswith(".*"))

    def has(self, noted: Noted) -> bool:
        """Whether the event is among them."""
        return (
            (self.run_id is None or noted.run_id == self.run_id)
            and (self.runs is None or noted.run_id in self.runs)
            and (noted.project is not None or not self.of_projects)
            and (self.projects is None or noted.project in self.projects)
            and (
                self.kinds is None
                or noted.kind in self._exactly
                or noted.kind.partition(".")[0] in self._nouns
            )
        )

    def parameters(self) -> dict[str, object]:
        """The same for a statement."""
        return {
            "run_id": self.run_id,
            "runs": None if self.runs is None else list(self.runs),
            "kinds": None if self.kinds is None else sorted(self._exactly),
            "of_projects": self.of_projects,
            "nouns": sorted(self._nouns),
            "projects": None if self.projects is None else list(self.projects),
        }


@dataclass(frozen=True)
class Slice:
    """Some events in a row, and up to which position they are all there were of those that are wanted."""

    items: tuple[Noted, ...]
    position: int
    """0 where it is not known."""
    _made: dict[Callable[[Slice], bytes], bytes] = field(
        default_factory=dict["Callable[[Slice], bytes]", bytes], compare=False, repr=False
    )

    @cached_property
    def size(self) -> int:
        """Bytes of the records, about."""
        return sum(len(noted.told) for noted in self.items)

    def made(self, make: Callable[[Slice], bytes]) -> bytes:
        """What `make` makes of it; once, however many readers send it."""
        known = self._made.get(make)
        if known is None:
            known = self._made[make] = make(self)
        return known

    def after(self, beyond: Callable[[Noted], bool]) -> Slice:
        """Without what a reader has had already; itself where that is nothing."""
        if all(map(beyond, self.items)):
            return self
        return Slice(tuple(filter(beyond, self.items)), self.position)


async def number(connection: Connection, runs: Sequence[str] | None) -> int:
    """Give every committed event of `runs` (None: of all) its position; the newest position there is."""
    cursor = await connection.execute(queries.NUMBER, {"runs": None if runs is None else list(runs)})
    row = await cursor.fetchone()
    assert row is not None
    return row["newest"]


async def newest(connection: Connection) -> int:
    """The newest position that was given."""
    row = await (await connection.execute(queries.NEWEST_POSITION)).fetchone()
    assert row is not None
    return row["newest"]


async def page(connection: Connection, wanted: Wanted, after: int) -> tuple[list[Noted], bool]:
    """The next events beyond position `after`, and whether there may be more."""
    return await _page(connection, queries.READ_FEED, wanted, after)


async def page_of_run(connection: Connection, wanted: Wanted, after: int) -> tuple[list[Noted], bool]:
    """The next events of one run beyond its seq `after`, and whether there may be more."""
    return await _page(connection, queries.READ_FEED_OF_RUN, wanted, after)


async def at(connection: Connection, positions: Sequence[int]) -> list[Noted]:
    """The events at these positions, in order."""
    cursor = await connection.execute(queries.READ_FEED_AT, {"positions": list(positions)})
    return [_noted(row) for row in await cursor.fetchall()]


async def _page(
    connection: Connection, statement: str, wanted: Wanted, after: int
) -> tuple[list[Noted], bool]:
    told = wanted.parameters() | {"after": after, "limit": PAGE, "bytes": PAGE_BYTES}
    rows = await (await connection.execute(statement, told)).fetchall()  # pyright: ignore[reportArgumentType]
    items = [_noted(row) for row in rows]
    return items, len(items) == PAGE or sum(len(noted.record) for noted in items) >= PAGE_BYTES


def _noted(row: Mapping[str, Any]) -> Noted:
    return Noted(**row)
