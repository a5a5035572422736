"""Taking memories back: they end without a successor, and with them all that was made of them.

What a memory had superseded holds again when it is taken back, so that the work of a run that failed leaves
a bank as it was. Nothing is removed: what was taken back is still there for whoever asks what was believed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core import clock, faults
from core.incarnation import Connection
from memory import adding
from memory import queries as banks
from memory.lineage import queries
from memory.records import Kind, identity, place
from memory.service import Memories
from memory.words import Words

PERSON: Final = "person"
"""The speaker of what a person decided; that stands, whatever becomes of the run."""
CLAIMS: Final = (Kind.FACT, Kind.DECISION)
"""What a run claims. What it experienced it has experienced, even where it fails."""


OUTDATED: Final = "what it was made of was superseded"
"""Why something was taken back that holds again when what it was made of does."""


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What came of it."""

    ids: tuple[int, ...] = ()
    """Taken back now, with all that was made of them."""
    restored: tuple[int, ...] = ()
    """What holds again in their place."""


Tell = Callable[[Connection, TakenBack], Awaitable[None]]
"""Records what was taken back in the transaction that does it, so that neither is ever without the other."""


async def take_back(memories: Memories, ids: Collection[int], *, why: str) -> TakenBack:
    """Take these memories back, and all that was made of them. What was taken back before is left out."""
    if not ids:
        return TakenBack()
    async with memories.db.pool.connection() as connection, connection.transaction():
        known = await lock_projects(connection, [place(one)[0] for one in ids])
        return await _take_back(connection, known, set(ids), why)


async def take_back_run(
    memories: Memories,
    project: str,
    run_id: str,
    *,
    why: str,
    sessions: Sequence[str] | None = None,
    tell: Tell | None = None,
) -> TakenBack:
    """Take back what teams claimed in a run, or in some of its sessions; not what a person decided in it.

    `tell` is called where something was; done again after a crash, nothing is.
    """
    async with memories.db.pool.connection() as connection, connection.transaction():
        known = await lock_project(connection, project)
        if not known:
            return TakenBack()
        given = {"run": run_id, "sessions": sessions, "speakers": [PERSON], "kinds": list(CLAIMS)}
        found = await (await connection.execute(queries.of_run(known), given)).fetchall()
        ids = {identity(row["bank"], row["number"]) for row in found}
        taken = await _take_back(connection, known, ids, why)
        if tell is not None and taken.ids:
            await tell(connection, taken)
    faults.point("memory.taken_back")
    return taken


async def end_derived(memories: Memories, ids: Collection[int], *, tell: Tell | None = None) -> TakenBack:
    """Take back what was made of these memories, and not themselves: they have been superseded. Holds again
    when they do."""
    if not ids:
        return TakenBack()
    async with memories.db.pool.connection() as connection, connection.transaction():
        known = await lock_projects(connection, [place(one)[0] for one in ids])
        made = await with_derived(connection, known, set(ids)) - set(ids)
        taken = await _take_back(connection, known, made, OUTDATED)
        if tell is not None and taken.ids:
            await tell(connection, taken)
    faults.point("memory.taken_back")
    return taken


@dataclass(frozen=True, slots=True)
class Sentence:
    """A fact that holds because a file said it."""

    id: int
    text: str
    subject: str | None
    path: str


async def read_in(
    memories: Memories, bank: int, paths: Collection[str], fresh: Collection[int]
) -> list[Sentence]:
    """The facts of a bank that were read in these files before the memories `fresh` were."""
    given = {"paths": list(paths), "fresh": [place(one)[1] for one in fresh]}
    async with memories.db.pool.connection() as connection:
        found = await (await connection.execute(queries.read_in(bank), given)).fetchall()
    return [
        Sentence(identity(bank, row["number"]), row["text"], row["subject"], row["path"]) for row in found
    ]


async def give_way(memories: Memories, bank: int, pairs: Mapping[int, int], at: datetime) -> None:
    """Let memories of a bank be superseded from `at` on by others of it that hold: old id, new id."""
    if not pairs:
        return
    tables = banks.tables(bank)
    async with memories.db.pool.connection() as connection, connection.transaction():
        await connection.execute(banks.LOCK, {"bank": bank})
        for old, new in sorted(pairs.items()):
            given = {"number": place(old)[1], "by": place(new)[1], "at": at}
            rows = await (await connection.execute(tables.supersede, given)).fetchall()
            await adding.withdraw(connection, bank, rows)


async def gave_way(memories: Memories, bank: int, to: Collection[int], at: datetime) -> list[int]:
    """The memories of a bank that have been superseded by these since `at`."""
    given = {"by": [place(one)[1] for one in to], "at": at}
    async with memories.db.pool.connection() as connection:
        found = await connection.execute(queries.superseded(bank), given)
        return [identity(bank, row["number"]) for row in await found.fetchall()]


async def of_file(memories: Memories, bank: int, path: str, prefix: str) -> set[str]:
    """The subjects beginning with `prefix` that hold in a bank because this file says so."""
    async with memories.db.pool.connection() as connection:
        found = await connection.execute(queries.of_file(bank), {"path": path, "prefix": prefix})
        return {row["subject"] for row in await found.fetchall()}


async def lock_project(connection: Connection, project: str) -> list[int]:
    """The banks of a project, each locked until the transaction ends."""
    rows = await (await connection.execute(queries.BANKS_OF, {"project": project})).fetchall()
    known = [row["id"] for row in rows]
    for bank in known:  # in one order, so that two never wait for each other
        await connection.execute(banks.LOCK, {"bank": bank})
    return known


async def lock_projects(connection: Connection, of: Iterable[int]) -> list[int]:
    """All banks of the projects that these banks belong to, locked."""
    found = await connection.execute(queries.PROJECTS_OF, {"banks": list(of)})
    projects = sorted(row["project"] for row in await found.fetchall())
    return [bank for project in projects for bank in await lock_project(connection, project)]


async def with_derived(connection: Connection, known: Sequence[int], ids: set[int]) -> set[int]:
    """These memories and all that was made of them, step by step."""
    every, fresh = set(ids), set(ids)
    while fresh:
        found = await connection.execute(queries.derived(known), {"ids": list(fresh)})
        fresh = {identity(row["bank"], row["number"]) for row in await found.fetchall()} - every
        every |= fresh
    return every


async def _take_back(connection: Connection, known: Sequence[int], ids: set[int], why: str) -> TakenBack:
    if not ids:
        return TakenBack()
    at = clock.now()
    taken: list[int] = []
    restored: list[int] = []
    for bank, numbers in sorted(by_bank(await with_derived(connection, known, ids)).items()):
        given = {"bank": bank, "numbers": numbers, "at": at, "why": why, "outdated": OUTDATED}
        marked = await (await connection.execute(queries.MARK_TAKEN_BACK, given)).fetchall()
        fresh = [row["number"] for row in marked]
        if not fresh:
            continue
        taken += [identity(bank, number) for number in fresh]
        tables = queries.Tables(bank)
        ended = await (await connection.execute(tables.end, {"numbers": fresh, "at": at})).fetchall()
        await adding.withdraw(connection, bank, ended)
        # Only what gave way to a memory that held until now: whatever came later stands in its place.
        restored += await _restore(connection, bank, tables, [row["number"] for row in ended])
    restored += await _restore_derived(connection, known, set(restored))
    return TakenBack(tuple(sorted(taken)), tuple(sorted(restored)))


async def _restore(
    connection: Connection, bank: int, tables: queries.Tables, numbers: Sequence[int]
) -> list[int]:
    """Let hold again what these had superseded, past those that were themselves taken back."""
    restored: list[int] = []
    waiting = list(numbers)
    while waiting:
        found = await (await connection.execute(tables.predecessors, {"numbers": waiting})).fetchall()
        past = [row["number"] for row in found]
        given = {"bank": bank, "numbers": past}
        gone = await (await connection.execute(queries.TAKEN_BACK, given)).fetchall()
        waiting = [row["number"] for row in gone]
        for number in past:
            if number not in waiting and await _revive(connection, bank, tables, number):
                restored.append(identity(bank, number))
    return restored


async def _restore_derived(connection: Connection, known: Sequence[int], restored: set[int]) -> list[int]:
    """Let hold again what was made of these, where it ended with them alone and all it was made of holds."""
    every: list[int] = []
    while restored:
        found = await (await connection.execute(queries.derived(known), {"ids": list(restored)})).fetchall()
        restored = set[int]()
        for bank, numbers in sorted(by_bank(identity(row["bank"], row["number"]) for row in found).items()):
            given = {"bank": bank, "numbers": numbers, "outdated": OUTDATED}
            ended = await (await connection.execute(queries.OUTDATED, given)).fetchall()
            for number in (row["number"] for row in ended):
                if await _has_its_sources(connection, known, bank, number):
                    await connection.execute(queries.UNMARK, {"bank": bank, "number": number})
                    if await _revive(connection, bank, queries.Tables(bank), number):
                        restored.add(identity(bank, number))
        every += sorted(restored)
    return every


async def _has_its_sources(connection: Connection, known: Sequence[int], bank: int, number: int) -> bool:
    """Whether all that a memory was made of holds, as far as it is known here."""
    row = await (await connection.execute(banks.tables(bank).one, {"number": number})).fetchone()
    sources = {one for one in (row["derived_from"] if row else ()) if place(one)[0] in known}
    given = {"numbers": [place(one)[1] for one in sources]}
    alive = await (await connection.execute(queries.alive(known), given)).fetchall()
    return sources <= {identity(row["bank"], row["number"]) for row in alive}


async def _revive(connection: Connection, bank: int, tables: queries.Tables, number: int) -> bool:
    row = await (await connection.execute(tables.revive, {"number": number})).fetchone()
    if row is None:
        return False
    words = Words(dict(zip(row["terms"], row["impacts"], strict=True)), row["words"])
    await adding.post(connection, bank, [(number, words)])
    for space in await (await connection.execute(banks.SPACES, {"bank": bank})).fetchall():
        await connection.execute(queries.Space(space["id"]).revive, {"numbers": [number]})
    return True


def by_bank(ids: Iterable[int]) -> dict[int, list[int]]:
    """The numbers of memories, for each bank."""
    grouped: dict[int, list[int]] = defaultdict(list)
    for one in ids:
        bank, number = place(one)
        grouped[bank].append(number)
    return grouped
