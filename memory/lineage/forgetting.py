"""Forgetting: the text of a memory is gone from wherever the factory keeps it, and that it was there remains.

The event chain holds no text of a memory, only ids, so that it stays whole. The row stays as a tombstone:
when, from which run, by whom it was said. What lies elsewhere (texts kept for the audit, pages made of
memories) is an `Elsewhere` that takes the text out before the memory itself goes, so that a forgetting that
was cut off can be made again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import psycopg

from core import clock, faults, logs
from core.errors import FactoryError
from core.events import EventLog
from core.incarnation import Connection
from core.json import canonical
from memory import adding
from memory import queries as banks
from memory.lineage import queries
from memory.lineage.taking_back import by_bank, lock_projects, with_derived
from memory.records import Memory, identity
from memory.service import Memories
from memory.words import digest, gist
from models.embeddings import cache

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What is being forgotten, and why."""

    memories: tuple[Memory, ...]
    """As they are before; those that say the same and those that were made of them are among them."""
    why: str
    by: str

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts, each once, the longest first: a shorter one may stand in a longer."""
        return tuple(sorted({memory.text for memory in self.memories}, key=lambda text: (-len(text), text)))


Elsewhere = Callable[[Memories, Forgetting], Awaitable[None]]
"""Takes the texts out of one place outside of the banks. May run again for the same memories."""


async def forget(
    memories: Memories, ids: Collection[int], *, why: str, by: str, elsewhere: Sequence[Elsewhere] = ()
) -> tuple[int, ...]:
    """Forget these memories, what says the same in their projects, and what was made of them.

    Gives the ids of all that were forgotten now; none where it was done before. Raises NotFound.
    """
    gone: list[int] = []
    wanted = ids
    while doomed := await _doomed(memories, wanted):
        forgetting = Forgetting(tuple(doomed), why, by)
        for take_out in elsewhere:
            await take_out(memories, forgetting)
            faults.point("memory.elsewhere")
        spoken = {adding.spoken(memory.speaker, memory.text) for memory in doomed}
        await cache.forget(memories.db, sorted(spoken | set(forgetting.texts)))
        await _tell(memories, forgetting)
        faults.point("memory.forgetting")
        gone += [memory.id for memory in doomed]
        # Another run may have said the same, or made something of it, since we looked.
        wanted = await _entomb(memories, doomed)
    return tuple(sorted(gone))


async def _doomed(memories: Memories, ids: Collection[int]) -> list[Memory]:
    """The memories to forget, with their texts."""
    if not ids:
        return []
    asked = [await memories.get(one) for one in ids]
    async with memories.db.pool.connection() as connection, connection.transaction():
        known = await lock_projects(connection, [memory.bank for memory in asked])
        every = await _meant(connection, known, asked)
    every_one = [await memories.get(one) for one in sorted(every)]
    return [memory for memory in every_one if memory.forgotten_at is None]


async def _meant(connection: Connection, known: Sequence[int], asked: Sequence[Memory]) -> set[int]:
    """These memories, what says the same but for its punctuation, and all that was made of them."""
    texts = [memory.text for memory in asked if memory.text]
    given = {"digests": [digest(text) for text in texts], "gists": [gist(text) for text in texts]}
    found = await (await connection.execute(queries.saying(known), given)).fetchall()
    same = {identity(row["bank"], row["number"]) for row in found}
    return await with_derived(connection, known, same | {memory.id for memory in asked})


async def _entomb(memories: Memories, doomed: Sequence[Memory]) -> set[int]:
    """Forget them; what has come since and has to be forgotten too."""
    ids = {memory.id for memory in doomed}
    async with memories.db.pool.connection() as connection, connection.transaction():
        known = await lock_projects(connection, [memory.bank for memory in doomed])
        more = await _meant(connection, known, doomed) - ids
        for bank, numbers in sorted(by_bank(ids).items()):
            await _entomb_in(connection, bank, numbers)
    return more


async def _entomb_in(connection: Connection, bank: int, numbers: Sequence[int]) -> None:
    given = {"numbers": numbers, "at": clock.now()}
    rows = await (await connection.execute(queries.Tables(bank).forget, given)).fetchall()
    await adding.withdraw(connection, bank, [row for row in rows if row["live"]])
    for space in await (await connection.execute(banks.SPACES, {"bank": bank})).fetchall():
        await connection.execute(queries.Space(space["id"]).drop, given)


async def _tell(memories: Memories, forgetting: Forgetting) -> None:
    """An event in the chain of each run that a memory came from: which ones, why and by whom; never what."""
    log = EventLog(memories.db)
    by_run: dict[str, list[int]] = {}
    for memory in forgetting.memories:
        by_run.setdefault(memory.source.run_id, []).append(memory.id)
    for run_id, ids in sorted(by_run.items()):
        payload: Any = {"ids": sorted(ids), "why": forgetting.why, "by": forgetting.by}
        key = f"memory/forgotten/{sha256(canonical(payload['ids']).encode()).hexdigest()[:16]}"
        try:
            await log.append(run_id, "memory.forgotten", payload, key=key, last=True)
        except (FactoryError, psycopg.errors.InsufficientPrivilege) as refused:  # imported runs are read-only
            _log.warning("memory.forgotten_untold", run=run_id, ids=ids, why=str(refused))
