"""A bank: what one team of a project remembers, or what all its teams share."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from psycopg.errors import UndefinedTable

from core import logs
from core.database import Database
from core.incarnation import Connection
from memory import adding, embedding, queries, recall, rows
from memory.errors import MemoryRefused
from memory.records import LONGEST, Added, Draft, Kind, Memory, Recall, place
from memory.vectors import understand
from memory.weights import Bounds, Weights
from models.embeddings.base import Embedder, EmbeddingFailed

_log = logs.get(__name__)
_LONGEST_QUERY: Final = 100_000
"""Characters of a query that are looked at."""
_ATTEMPTS: Final = 5
"""At an addition or a recall, while other processes drop the vectors that it was to use."""
_TOGETHER: Final = 32
"""Drafts between two breaths of the event loop: some milliseconds."""


@dataclass(frozen=True, slots=True)
class Telling:
    """What a bank has to tell a stage."""

    rules: tuple[Memory, ...]
    """The directives, in the order they came."""
    named: Mapping[int, Memory]
    """The memories that were asked for by their ids, whatever became of them."""
    recall: Recall


class Around(Protocol):
    """What all banks share: `Memories`."""

    @property
    def db(self) -> Database: ...
    @property
    def embedder(self) -> Embedder: ...
    @property
    def others(self) -> Mapping[str, Embedder]: ...
    @property
    def weights(self) -> Weights: ...
    @property
    def bounds(self) -> Bounds: ...

    def tend(self, bank: Bank, /) -> None: ...
    async def get(self, memory: int, /) -> Memory: ...


class Bank:
    """Made by `Memories.bank`."""

    def __init__(
        self, memories: Around, bank: int, project: str, name: str, now: embedding.State | None = None
    ) -> None:
        self.id: Final = bank
        self.project: Final = project
        self.name: Final = name
        self._memories = memories
        self._db = memories.db
        self._tables = queries.tables(bank)
        self._known = now
        """What there was when it was last looked at: its spaces, which seldom change."""

    async def add(self, drafts: Sequence[Draft], *, key: str) -> list[Added]:
        """Keep the drafts, one answer for each in their order; all or, where it raises, none.

        The same `key` again answers as the first time and adds nothing. Raises MemoryRefused.
        """
        for number, draft in enumerate(drafts, 1):
            _check(number, draft)
        prepared: builtins.list[adding.Prepared] = []
        for draft in drafts:
            prepared.append(adding.prepare(draft))
            if len(prepared) % _TOGETHER == 0:
                await asyncio.sleep(0)
        for attempt in range(_ATTEMPTS):
            # Words do: the vectors are made up for later.
            embedded = await self._embedded(prepared) if attempt < _ATTEMPTS - 2 else ()
            try:
                async with self._db.pool.connection() as connection:
                    understand(connection)
                    async with connection.pipeline(), connection.transaction():
                        added = await adding.add(connection, self.id, self._tables, prepared, embedded, key)
                break
            except UndefinedTable as missing:
                _only_if_dropped(missing)
                self._known = None
        else:
            raise MemoryRefused(
                f"The embedders of the bank {self.name} change faster than it can be added to",
                untouched="Nothing of this addition was kept",
                todo="Let all processes have the same embedder",
            )
        self._memories.tend(self)
        return added

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
        asked = recall.Question(query[:_LONGEST_QUERY], max(0, limit), tokens, kinds, as_of)
        return await self._recall(asked, self._known)

    async def told(
        self,
        query: str,
        now: embedding.State,
        *,
        limit: int,
        kinds: Collection[Kind],
        ids: Collection[int] = (),
    ) -> Telling:
        """What a stage is told, with what is there `now`: as fast as can be, for every brief is waiting for
        it. Ids of other banks are passed over."""
        asked = recall.Question(query[:_LONGEST_QUERY], max(0, limit), None, kinds, None)
        sight = await self._sight(asked.text, now)
        try:
            async with self._db.pool.connection() as connection:
                told = connection.cursor()

                async def rules() -> None:
                    numbers = [number for bank, number in map(place, ids) if bank == self.id]
                    await told.execute(self._tables.told, {"numbers": numbers}, prepare=True)

                found = await self._answer(connection, asked, sight, rules)
                return _telling([rows.memory(row) for row in await told.fetchall()], ids, found)
        except UndefinedTable as missing:
            _only_if_dropped(missing)
            named = [await self._memories.get(one) for one in ids if place(one)[0] == self.id]
            return _telling([*await self.directives(), *named], ids, await self._recall(asked, None))

    async def _recall(self, asked: recall.Question, seen: embedding.State | None) -> Recall:
        """What there is of the bank seldom changes: it is asked for together with the answer, which is looked
        for with what was `seen` the last time, and again where that is not so any more."""
        for _ in range(_ATTEMPTS):
            if seen is None:
                seen = await embedding.state(self._db, self.id)
            sight = await self._sight(asked.text, seen)
            try:
                async with self._db.pool.connection() as connection:
                    looked = connection.cursor()
                    look = partial(embedding.look, looked, self.id)
                    found = await self._answer(connection, asked, sight, look)
                    now = embedding.of_rows(self.id, await looked.fetchall())
            except UndefinedTable as missing:
                _only_if_dropped(missing)
                self._known = seen = None
                continue
            self._known = now
            if now.looks_like(seen):
                return found
            seen = now
        async with self._db.pool.connection() as connection:
            return await self._answer(connection, asked, (None, "the bank's embedders change too fast"))

    async def _answer(
        self,
        connection: Connection,
        asked: recall.Question,
        sight: tuple[recall.Sight | None, str],
        also: Callable[[], Awaitable[None]] | None = None,
    ) -> Recall:
        return await recall.answer(
            connection,
            self.id,
            asked,
            sight[0],
            weights=self._memories.weights,
            bounds=self._memories.bounds,
            degraded=sight[1],
            also=also,
        )

    async def _sight(self, text: str, now: embedding.State) -> tuple[recall.Sight | None, str]:
        """The vectors to look with, and what is wrong with them."""
        memories = self._memories
        found = embedding.chosen(now, memories.embedder, memories.others)
        if found is None:
            return None, f"no vectors of {memories.embedder.name} yet" if now.live else ""
        embedder, used = found
        try:
            vector = await embedding.query(embedder, text)
        except EmbeddingFailed as failure:
            return None, str(failure)
        wanting = "" if used.whole else f"some memories have no vector of {embedder.name} yet"
        return recall.Sight(used.space, embedder.name, vector, now.live), wanting

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
        async with self._db.pool.connection() as connection:
            found = await (await connection.execute(self._tables.list, given)).fetchall()
        return [rows.memory(row) for row in found]

    async def directives(self) -> builtins.list[Memory]:
        """The rules that the team always follows, in the order they came."""
        async with self._db.pool.connection() as connection:
            found = await (await connection.execute(self._tables.directives)).fetchall()
        return [rows.memory(row) for row in found]

    async def catch_up(self) -> int:
        """Give every memory its vector by this process's embedder; how many were missing.
        Raises EmbeddingFailed."""
        filled = await embedding.catch_up(self._db, self.id, self._memories.embedder)
        await embedding.index(self._db, self.id, self._memories.bounds.exact_below)
        return filled

    async def _embedded(self, prepared: Sequence[adding.Prepared]) -> adding.Embedded:
        """Vectors by this process's embedder and, while another's answer in its place, by that one too."""
        memories = self._memories
        texts = [adding.spoken(one.draft.speaker, one.text) for one in prepared]
        # Of a space that another process made since, the addition says itself that it is not whole.
        now = self._known
        if now is None or now.of(memories.embedder) is None:
            now = await embedding.state(self._db, self.id)
        embedded: list[tuple[queries.Space, Sequence[tuple[float, ...]]]] = []
        for embedder in (memories.embedder, *memories.others.values()):
            mine = now.of(embedder)
            if mine is None and embedder is not memories.embedder:
                continue
            try:
                vectors = await embedding.documents(embedder, texts)
            except EmbeddingFailed as failure:
                # Nothing is lost over a server that is down: words find it until it is back.
                _log.warning("memory.not_embedded", bank=self.name, texts=len(texts), why=str(failure))
                continue
            where = mine.space if mine is not None else await embedding.space(self._db, self.id, embedder)
            embedded.append((where, vectors))
        self._known = now
        return embedded


def _only_if_dropped(missing: UndefinedTable) -> None:
    """Go on where a space was dropped meanwhile, since its embedder was switched away from; without any other
    table the memory is broken, and that is raised."""
    if ".vectors_" not in str(missing):
        raise missing


def _telling(found: Sequence[Memory], ids: Collection[int], recall: Recall) -> Telling:
    rules = sorted(
        (one for one in found if one.kind is Kind.DIRECTIVE and _live(one)), key=lambda one: one.id
    )
    return Telling(tuple(rules), {one.id: one for one in found if one.id in ids}, recall)


def _live(memory: Memory) -> bool:
    return memory.valid_to is None and memory.forgotten_at is None


def _check(number: int, draft: Draft) -> None:
    untouched = "Nothing of this addition was kept"
    if not draft.text.strip():
        raise MemoryRefused(f"Memory {number} is empty", untouched=untouched)
    if len(draft.text) > LONGEST:
        raise MemoryRefused(
            f"Memory {number} has {len(draft.text):,} characters, and the most is {LONGEST:,}",
            untouched=untouched,
            todo="Keep what it says in a sentence or two, and the text itself in the workspace",
        )
