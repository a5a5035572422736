"""Which vectors a bank has, which of them are used, and how those that are missing come to be.

The vectors of one embedder are a space of their own. While a new one is being filled, the one before answers,
for as long as its embedder is at hand; where neither can, words alone do, and the answer says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from operator import mul
from typing import Final

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from core import logs
from core.database import Database
from memory import adding, queries
from memory.vectors import HalfVector, understand
from memory.words import clean
from models.embeddings.base import Embedder, EmbeddingFailed, Vector

PATIENCE: Final = 60.0
"""Seconds for the vector of a query, in which Ollama may have to load its model; and so many more for each
`_BATCH` texts."""
_BATCH: Final = 128
_LONGEST: Final = 1.01
"""The square of a vector's length, at most: it is stored in 16 bits."""
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class SpaceState:
    """A space of a bank, as it is now."""

    space: queries.Space
    embedder: str
    whole: bool
    indexed: bool


@dataclass(frozen=True, slots=True)
class State:
    """How large a bank is, and its spaces."""

    live: int
    spaces: tuple[SpaceState, ...]

    def of(self, embedder: Embedder) -> SpaceState | None:
        """The space of this embedder, if there is one."""
        mine = [one for one in self.spaces if one.embedder == embedder.name]
        return next((one for one in mine if one.space.dimension == embedder.dimension), None)

    def looks_like(self, earlier: State) -> bool:
        """Whether it is searched as it was earlier: in the same spaces, and as far but for a tenth."""
        return self.spaces == earlier.spaces and abs(self.live - earlier.live) <= earlier.live / 10


async def state(db: Database, bank: int) -> State:
    """What there is of a bank."""
    async with db.pool.connection() as connection, connection.cursor() as cursor:
        await look(cursor, bank)
        return of_rows(bank, await cursor.fetchall())


async def look(cursor: AsyncCursor[DictRow], bank: int) -> None:
    """Ask for the rows of what there is of a bank."""
    await cursor.execute(queries.STATE, {"bank": bank}, prepare=True)


def of_rows(bank: int, found: Sequence[DictRow]) -> State:
    """The rows of a bank with its spaces."""
    spaces = tuple(
        SpaceState(
            queries.space(bank, row["id"], row["dimension"]), row["embedder"], row["whole"], row["indexed"]
        )
        for row in found
        if row["id"] is not None
    )
    return State(found[0]["live"] if found else 0, spaces)


def chosen(now: State, first: Embedder, others: Mapping[str, Embedder]) -> tuple[Embedder, SpaceState] | None:
    """The space to search in: that of the first embedder once it is whole, else another's that is, else the
    first's as far as it has come. None where there is none."""
    mine = now.of(first)
    if mine is not None and mine.whole:
        return first, mine
    for other in others.values():
        found = now.of(other)
        if found is not None and found.whole:
            return other, found
    return None if mine is None else (first, mine)


async def documents(embedder: Embedder, texts: Sequence[str]) -> list[Vector]:
    """The vectors, of the dimension that the embedder promised. Raises EmbeddingFailed."""
    async with _patient(embedder, PATIENCE * (1 + len(texts) / _BATCH)):
        vectors = await embedder.documents(texts)
    if len(vectors) != len(texts):
        raise EmbeddingFailed(f"{embedder.name} gave {len(vectors)} vectors for {len(texts)} texts")
    for vector in vectors:
        _promised(embedder, vector)
    return vectors


async def query(embedder: Embedder, text: str) -> Vector:
    """The vector of what is looked for, likewise. Raises EmbeddingFailed."""
    async with _patient(embedder, PATIENCE):
        vector = await embedder.query(clean(text))
    return _promised(embedder, vector)


@asynccontextmanager
async def _patient(embedder: Embedder, seconds: float) -> AsyncGenerator[None]:
    """A brief does not wait for a server that hangs: words are found without it."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise EmbeddingFailed(
            f"{embedder.name} gave no embedding within {seconds:.0f} seconds",
            untouched="No vector was stored",
            todo="Look whether its server hangs",
        ) from None


def _promised(embedder: Embedder, vector: Vector) -> Vector:
    todo = "Open the memory anew: a model that was replaced has its own vectors"
    if len(vector) != embedder.dimension:
        wrong = f"a vector of {len(vector)} numbers in place of {embedder.dimension}"
    elif not sum(map(mul, vector, vector)) <= _LONGEST:  # neither is what is no number
        wrong, todo = "a vector that is not of length one", "Look at the log of its server"
    else:
        return vector
    raise EmbeddingFailed(f"{embedder.name} gave {wrong}", untouched="No vector was stored", todo=todo)


async def space(db: Database, bank: int, embedder: Embedder) -> queries.Space:
    """The space of an embedder in a bank; made where there is none."""
    given = {"bank": bank, "embedder": embedder.name, "dimension": embedder.dimension}
    async with db.pool.connection() as connection, connection.transaction():
        # An addition that is not committed would not be seen: a bank that seems empty has a whole space.
        await connection.execute(queries.LOCK, {"bank": bank})
        row = await (await connection.execute(queries.MAKE_SPACE, given)).fetchone()
    assert row is not None
    return queries.space(bank, row["id"], embedder.dimension)


async def catch_up(db: Database, bank: int, embedder: Embedder) -> int:
    """Give every memory of the bank its vector in the embedder's space; how many were missing.

    Safe beside writers, and beside others who do the same. Raises EmbeddingFailed: what was done stays.
    """
    target, filled, after = await space(db, bank, embedder), 0, 0
    while True:
        async with db.pool.connection() as connection:
            given = {"after": after, "limit": _BATCH}
            missing = await (await connection.execute(target.unembedded, given)).fetchall()
        if not missing:
            if await _declare_whole(db, bank, target):
                return filled
            after = 0
            continue
        vectors = await documents(embedder, [adding.spoken(row["speaker"], row["text"]) for row in missing])
        made = [
            {"space": target.id, "number": row["number"], "vector": HalfVector(vector)}
            for row, vector in zip(missing, vectors, strict=True)
        ]
        async with db.pool.connection() as connection:
            understand(connection)
            async with connection.transaction(), connection.cursor() as cursor:
                await connection.execute(queries.LOCK, {"bank": bank})
                await cursor.executemany(target.fill, made)
        filled += len(made)
        after = missing[-1]["number"]


async def _declare_whole(db: Database, bank: int, target: queries.Space) -> bool:
    """Under the bank's lock, so that nothing can be added between the look and the mark."""
    async with db.pool.connection() as connection, connection.transaction():
        await connection.execute(queries.LOCK, {"bank": bank})
        given = {"after": 0, "limit": 1}
        if await (await connection.execute(target.unembedded, given)).fetchone() is not None:
            return False
        await connection.execute(queries.WHOLE, {"space": target.id})
        return True


async def index(db: Database, bank: int, exact_below: int) -> int:
    """Give the whole spaces of a large bank their graphs; how many were made. Writers of the bank wait."""
    now = await state(db, bank)
    if now.live < exact_below:
        return 0
    wanted = [one for one in now.spaces if one.whole and not one.indexed]
    for one in wanted:
        async with db.pool.connection() as connection:
            await connection.execute(queries.INDEX_SPACE, {"space": one.space.id})
        _log.info("memory.indexed", bank=bank, embedder=one.embedder, memories=now.live)
    return len(wanted)


async def drop_others(db: Database, bank: int, embedder: Embedder) -> None:
    """Remove the vectors of all other embedders from a bank, once this one's are whole."""
    now = await state(db, bank)
    mine = now.of(embedder)
    if mine is None or not mine.whole:
        return
    for one in now.spaces:
        if one.space.id != mine.space.id:
            async with db.pool.connection() as connection:
                await connection.execute(queries.DROP_SPACE, {"space": one.space.id})
