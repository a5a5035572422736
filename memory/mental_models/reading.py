"""Pages and what they are made of, as the database has them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any, Final

from core.incarnation import Connection
from memory import queries as banks
from memory import rows
from memory.mental_models import queries
from memory.mental_models.edits import Known
from memory.mental_models.page import Line, Page
from memory.records import Kind, Memory, place
from memory.service import Memories

_KINDS: Final = (Kind.DECISION, Kind.FACT, Kind.EXPERIENCE)
"""What a page is made of: directives stand at both ends of every brief already."""
_LOOKED_AT: Final = 1_000
"""Memories, the newest, that one refresh looks at."""


async def known_of(connection: Connection, memories: Memories, old: Page, last: int) -> Known:
    """What came since the last version, and what became of what its lines are from.

    Where a line was taken back, what it had superseded may hold again, however old it is: then the whole bank
    is looked at anew, but for what a person has taken off the page.
    """
    bank = await memories.bank(old.project, old.team)
    since = max(old.seen, last - _LOOKED_AT)
    # One statement for what the lines are from, and for what has come since.
    named = sources_of(old.lines)
    given = {**_since(since), "numbers": [number for home, number in map(place, named) if home == bank.id]}
    asked = await connection.execute(banks.tables(bank.id).list_and_some, given, prepare=True)
    every = await asked.fetchall()
    fresh = [row for row in every if row["fresh"]]
    found = {memory.id: memory for memory in (rows.memory(row) for row in every if not row["fresh"])}
    others = {one for one in named if place(one)[0] != bank.id}
    if others:
        found |= await memories_of(connection, others, bank.id)
    heirs = {memory.superseded_by for memory in found.values() if memory.superseded_by is not None}
    while heirs - found.keys():
        more = await memories_of(connection, heirs - found.keys(), bank.id)
        found |= more
        heirs = {memory.superseded_by for memory in more.values() if memory.superseded_by is not None}
    standing = Known(found)
    anew = any(line.text and not standing.holds(line) and standing.heir(line) is None for line in old.lines)
    dropped = set[int]()
    if anew:
        dropped = await _dropped(connection, bank.id)
        asked = await connection.execute(banks.tables(bank.id).list, _since(max(0, last - _LOOKED_AT)))
        fresh = await asked.fetchall()
    changed = [
        memory
        for memory in map(rows.memory, fresh)
        if place(memory.id)[1] <= last and memory.id not in dropped
    ]
    return Known(found | {memory.id: memory for memory in changed}, tuple(changed))


def _since(number: int) -> dict[str, Any]:
    """What lists the memories that a page is made of, after that number."""
    return {"kinds": list(_KINDS), "past": False, "after": number, "limit": _LOOKED_AT}


async def _dropped(connection: Connection, bank: int) -> set[int]:
    """The memories whose lines a person has taken off the page."""
    found = await (await connection.execute(queries.VERSIONS, {"bank": bank})).fetchall()
    pages = [page_of("", "", row) for row in found]
    gone: set[int] = set()
    for before, after in pairwise(pages):
        if after.way == "person":
            gone |= sources_of(before.lines) - sources_of(after.lines)
    return gone


async def memories_of(
    connection: Connection, ids: Collection[int], home: int | None = None
) -> dict[int, Memory]:
    """The memories with these ids, as far as there are any, whatever became of them; `home` is a bank that is
    there."""
    by_bank: dict[int, list[int]] = {}
    for one in ids:
        bank, number = place(one)
        if 0 < bank < 1 << 31 and number < 1 << 31:  # a person may have written any number into a line
            by_bank.setdefault(bank, []).append(number)
    others = sorted(by_bank.keys() - {home})
    if others:
        there = await (await connection.execute(queries.THERE, {"banks": others})).fetchall()
        by_bank = {bank: by_bank[bank] for bank in by_bank if bank == home or {"id": bank} in there}
    found: dict[int, Memory] = {}
    for bank, numbers in by_bank.items():
        some = await connection.execute(banks.tables(bank).some, {"numbers": numbers})
        found |= {memory.id: memory for memory in map(rows.memory, await some.fetchall())}
    return found


async def home_of(connection: Connection, project: str, team: str) -> int | None:
    """The bank of a team; None where it has none."""
    given = {"project": project, "name": team}
    row = await (await connection.execute(banks.FIND_BANK, given)).fetchone()
    return None if row is None else row["id"]


def sources_of(lines: Sequence[Line]) -> set[int]:
    """The ids of what lines are from."""
    return {one for line in lines for one in line.sources}


def page_of(project: str, team: str, row: Any) -> Page:
    """A page as the database has it."""
    lines = tuple(map(line_of, row["lines"]))
    return Page(
        project, team, row["version"], row["at"], row["by"], row["way"], lines, row["seen"], row["key"]
    )


def line_of(told: Any) -> Line:
    """A line as the database has it."""
    return Line(told["text"], told["by"], tuple(told["sources"]), bool(told["forgotten"]))
