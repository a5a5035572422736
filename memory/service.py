"""The memory of all projects: banks by name, with the embedder that this process has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import psycopg
from psycopg.rows import DictRow

from core import logs
from core.database import Database
from core.errors import FactoryError, NotFound
from core.tasks import end
from memory import embedding, queries, rows
from memory.bank import Bank
from memory.errors import MemoryRefused
from memory.records import BankInfo, Memory, place, shown
from memory.weights import Bounds, Weights
from models.embeddings.base import Embedder
from models.embeddings.local import LocalEmbedder

_log = logs.get(__name__)
_TEND_EVERY: Final = 256
"""Additions to a bank between two looks whether its vectors are whole and want a graph."""


class Memories:
    """All banks. `async with Memories.open(db, embedder) as memories`."""

    def __init__(self, db: Database, embedder: Embedder, weights: Weights, bounds: Bounds) -> None:
        self.db: Final = db
        self.embedder = embedder
        """What is embedded with."""
        local = LocalEmbedder()
        self.others: dict[str, Embedder] = {} if local.name == embedder.name else {local.name: local}
        """Further embedders at hand: a bank whose vectors are theirs can be read until it has others."""
        self.weights: Final = weights
        self.bounds: Final = bounds
        self._banks: dict[tuple[str, str], Bank] = {}
        self._added: dict[int, int] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, db: Database, embedder: Embedder, *, weights: Weights | None = None, bounds: Bounds | None = None
    ) -> AsyncGenerator[Self]:
        """The memory in this database, embedded by `embedder`. What is done in the background ends with it,
        and is taken up again by the next."""
        memories = cls(db, embedder, weights or Weights(), bounds or Bounds())
        try:
            yield memories
        finally:
            await end(*memories._tasks.values())

    async def bank(self, project: str, name: str) -> Bank:
        """The bank of a team (its id) or of all (`SHARED`) in a project; made where there is none."""
        known = self._banks.get((project, name))
        if known is not None:
            return known
        if not project.strip() or not name.strip() or "\0" in project + name:
            raise MemoryRefused(
                "A bank needs the name of its project and of its team", untouched="Nothing was made"
            )
        given = {"project": project, "name": name}
        async with self.db.pool.connection() as connection:
            # Most often it is there: making takes a lock that all banks share.
            found = await (await connection.execute(queries.STATE_OF_NAME, given)).fetchall()
            if not found:
                mine = {"embedder": self.embedder.name, "dimension": self.embedder.dimension}
                async with connection.pipeline():
                    await connection.execute(queries.MAKE_BANK, given | mine)
                    found = await (await connection.execute(queries.STATE_OF_NAME, given)).fetchall()
        [(bank, now)] = self.seen(project, [name], [{**row, "name": name} for row in found])
        if self._wants_care(now):
            self.tend(bank)
        else:
            self._added.setdefault(bank.id, 1)
        return bank

    async def find(self, project: str, name: str) -> Bank | None:
        """The same bank where there is one; none is made."""
        known = self._banks.get((project, name))
        if known is None:
            async with self.db.pool.connection() as connection:
                given = {"project": project, "name": name}
                row = await (await connection.execute(queries.FIND_BANK, given)).fetchone()
            if row is None:
                return None
            known = self._banks[project, name] = Bank(self, row["id"], project, name)
        return known

    def seen(
        self, project: str, names: Sequence[str], rows_found: Sequence[DictRow]
    ) -> list[tuple[Bank, embedding.State]]:
        """The banks that these rows tell of, in the order of their names here, with what there is of each."""
        found: list[tuple[Bank, embedding.State]] = []
        for name in names:
            mine = [row for row in rows_found if row["name"] == name]
            if mine:
                number = int(mine[0]["bank"])
                now = embedding.of_rows(number, mine)
                fresh = Bank(self, number, project, name, now)
                found.append((self._banks.setdefault((project, name), fresh), now))
        return found

    async def banks(self, project: str | None = None) -> list[BankInfo]:
        """All banks of a project, or of all projects."""
        async with self.db.pool.connection() as connection:
            found = await connection.execute(queries.BANKS, {"project": project, "id": None})
            return [rows.bank(row) for row in await found.fetchall()]

    async def get(self, memory: int) -> Memory:
        """One memory, whatever became of it. Raises NotFound."""
        bank, number = place(memory)
        row = None
        if 0 < bank < 1 << 31 and number < 1 << 31:
            async with self.db.pool.connection() as connection:
                known = await connection.execute(queries.BANKS, {"project": None, "id": bank})
                if await known.fetchone() is not None:
                    found = await connection.execute(queries.tables(bank).one, {"number": number})
                    row = await found.fetchone()
        if row is None:
            raise NotFound(f"There is no memory m{shown(memory)}", todo="`factory memory search` shows ids")
        return rows.memory(row)

    async def switch(self, embedder: Embedder) -> None:
        """Embed with another embedder from now on. Every bank is embedded anew in the background (`settled`
        waits for it); until one is done, the embedder before answers for it, and its vectors then go."""
        if embedder.name != self.embedder.name:
            self.others[self.embedder.name] = self.embedder
            self.others.pop(embedder.name, None)
        self.embedder = embedder
        self._begin("switch", self._switch(embedder))

    async def settled(self) -> None:
        """Wait for what is being done in the background: embedding anew, building graphs."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values())

    def tend(self, bank: Bank) -> None:
        """See now and then, in the background, that a bank has all its vectors and, if large, a graph."""
        count = self._added.get(bank.id, 0)
        self._added[bank.id] = count + 1
        if count % _TEND_EVERY == 0:
            self._begin(f"tend {bank.id}", self._tend(bank))

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        if name in self._tasks and name != "switch":
            work.close()
            return
        task = asyncio.create_task(work, name=f"memory: {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._tasks.pop(name) if self._tasks.get(name) is done else None)

    async def _tend(self, bank: Bank) -> None:
        if self._wants_care(await embedding.state(self.db, bank.id)):
            await self._try(bank)

    def _wants_care(self, now: embedding.State) -> bool:
        """Whether vectors are missing, or a graph."""
        mine = now.of(self.embedder)
        if mine is None or not mine.whole:
            return now.live > 0
        return not mine.indexed and now.live >= self.bounds.exact_below

    async def _switch(self, embedder: Embedder) -> None:
        for info in await self.banks():
            bank = await self.bank(info.project, info.name)
            if self.embedder is embedder and await self._try(bank):
                await embedding.drop_others(self.db, bank.id, embedder)

    async def _try(self, bank: Bank) -> bool:
        try:
            await bank.catch_up()
        except (FactoryError, psycopg.Error) as failure:
            _log.warning("memory.not_caught_up", bank=bank.name, project=bank.project, why=str(failure))
            return False
        return True
