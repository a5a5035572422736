"""The memory of all projects: banks by name, with the embedder that this process has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, Self

from core import logs
from core.database import Database
from core.errors import NotFound
from memory import adding, queries, recall, rows
from memory.errors import MemoryRefused
from memory.records import LONGEST, Added, BankInfo, Draft, Kind, Memory, Recall, place
from memory.vectors import understand
from models.embeddings.base import Embedder, EmbeddingFailed

_log = logs.get(__name__)


class Memories:
    """All banks. `async with Memories.open(db, embedder) as memories`."""

    def __init__(self, db: Database, embedder: Embedder) -> None:
        self.db: Final = db
        self.embedder: Final = embedder
        self._banks: dict[tuple[str, str], Bank] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, db: Database, embedder: Embedder) -> AsyncGenerator[Self]:
        """The memory in this database, embedded by `embedder`."""
        yield cls(db, embedder)

    async def bank(self, project: str, name: str) -> Bank:
        """The bank of a team (its id) or of all (`SHARED`) in a project; made where there is none."""
        known = self._banks.get((project, name))
        if known is not None:
            return known
        if not project.strip() or not name.strip():
            raise MemoryRefused(
                "A bank needs the name of its project and of its team", untouched="Nothing was made"
            )
        async with self.db.pool.connection() as connection:
            given = {"project": project, "name": name}
            # Most often it is there: making takes a lock that all banks share.
            row = await (await connection.execute(queries.FIND_BANK, given)).fetchone()
            if row is None:
                row = await (await connection.execute(queries.MAKE_BANK, given)).fetchone()
            assert row is not None
        bank = self._banks[project, name] = Bank(self, row["id"], project, name)
        return bank

    async def banks(self, project: str | None = None) -> list[BankInfo]:
        """All banks of a project, or of all projects."""
        async with self.db.pool.connection() as connection:
            found = await connection.execute(queries.BANKS, {"project": project, "id": None})
            return [rows.bank(row) for row in await found.fetchall()]

    async def get(self, memory: int) -> Memory:
        """One memory, whatever became of it. Raises NotFound."""
        bank, number = place(memory)
        async with self.db.pool.connection() as connection:
            known = await connection.execute(queries.BANKS, {"project": None, "id": bank})
            row = None
            if await known.fetchone() is not None:
                found = await connection.execute(queries.Tables(bank).one, {"number": number})
                row = await found.fetchone()
        if row is None:
            raise NotFound(f"There is no memory {memory}", todo="`factory memory search` shows ids")
        return rows.memory(row)


class Bank:
    """What one team of a project remembers, or what all its teams share."""

    def __init__(self, memories: Memories, bank: int, project: str, name: str) -> None:
        self.id: Final = bank
        self.project: Final = project
        self.name: Final = name
        self._memories = memories
        self._tables = queries.Tables(bank)
        self._space: queries.Space | None = None

    async def add(self, drafts: Sequence[Draft], *, key: str) -> list[Added]:
        """Keep the drafts, one answer for each in their order; all or, where it raises, none.

        The same `key` again answers as the first time and adds nothing. Raises MemoryRefused.
        """
        prepared = [adding.prepare(draft) for draft in drafts]
        for number, one in enumerate(prepared):
            _check(number, one)
        spaces = await self._embedded([adding.spoken(one.draft.speaker, one.text) for one in prepared])
        async with self._memories.db.pool.connection() as connection:
            understand(connection)
            async with connection.transaction():
                return await adding.add(connection, self.id, self._tables, prepared, spaces, key)

    async def recall(
        self,
        query: str,
        *,
        limit: int = 10,
        tokens: int | None = None,
        kinds: Collection[Kind] | None = None,
        as_of: datetime | None = None,
    ) -> Recall:
        """The memories that the query is about, the best first: at most `limit`, of at most `tokens` tokens.

        Only what holds now, or held (and was known) at `as_of`; never what was forgotten.
        """
        vector, why = None, ""
        try:
            vector = await self._memories.embedder.query(query)
        except EmbeddingFailed as failure:
            why = str(failure)
        space = await self._own_space() if vector is not None else None
        async with self._memories.db.pool.connection() as connection:
            understand(connection)
            asked = recall.Question(query, limit, tokens, kinds, as_of)
            return await recall.answer(
                connection, self.id, self._tables, space, asked, vector, self._memories.embedder.name, why
            )

    async def list(
        self,
        kinds: Collection[Kind] | None = None,
        *,
        past: bool = False,
        after: int = 0,
        limit: int = 1000,
    ) -> list[Memory]:
        """The memories in the order they came, after the id `after`; the `past` ones too where wanted."""
        given = {
            "kinds": None if kinds is None else list(kinds),
            "past": past,
            "after": place(after)[1],
            "limit": limit,
        }
        async with self._memories.db.pool.connection() as connection:
            found = await (await connection.execute(self._tables.list, given)).fetchall()
        return [rows.memory(row) for row in found]

    async def directives(self) -> list[Memory]:
        """The rules that the team always follows, in the order they came."""
        return await self.list([Kind.DIRECTIVE])

    async def _own_space(self) -> queries.Space:
        if self._space is None:
            embedder = self._memories.embedder
            given = {"bank": self.id, "embedder": embedder.name, "dimension": embedder.dimension}
            async with self._memories.db.pool.connection() as connection:
                row = await (await connection.execute(queries.MAKE_SPACE, given)).fetchone()
            assert row is not None
            self._space = queries.Space(row["id"], embedder.dimension)
        return self._space

    async def _embedded(self, texts: Sequence[str]) -> adding.Embedded:
        try:
            vectors = await self._memories.embedder.documents(texts)
        except EmbeddingFailed as failure:
            # What is to be remembered is not lost over a server that is down: words find it until it is back.
            _log.warning("memory.not_embedded", bank=self.name, texts=len(texts), why=str(failure))
            return []
        return [(await self._own_space(), vectors)]


def _check(number: int, one: adding.Prepared) -> None:
    untouched = "Nothing of this addition was kept"
    if not one.text:
        raise MemoryRefused(f"Memory {number + 1} is empty", untouched=untouched)
    if len(one.text) > LONGEST:
        raise MemoryRefused(
            f"Memory {number + 1} has {len(one.text):,} characters, and the most is {LONGEST:,}",
            untouched=untouched,
            todo="Keep what it says in a sentence or two, and the text itself in the workspace",
        )
