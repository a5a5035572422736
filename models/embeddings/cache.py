"""Vectors that were computed before, by the hash of their text: a text is sent to a model once."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from core.database import Database
from models import queries
from models.embeddings.base import Embedder, Vector, normalised


class CachedEmbedder:
    """Another embedder, with its documents' vectors kept in the database. Queries are not kept."""

    def __init__(self, embedder: Embedder, db: Database) -> None:
        self._embedder: Final = embedder
        self._db: Final = db

    @property
    def name(self) -> str:
        """The name of the embedder behind it: the vectors are its own."""
        return self._embedder.name

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return self._embedder.dimension

    async def documents(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text; only what is not known goes to the embedder. Raises EmbeddingFailed."""
        hashes = [_hash(text) for text in texts]
        vectors = await self._known(sorted(set(hashes)))
        missing = {key: text for key, text in zip(hashes, texts, strict=True) if key not in vectors}
        if missing:
            fresh = await self._embedder.documents(list(missing.values()))
            made = dict(zip(missing, fresh, strict=True))
            await self._keep(made)
            vectors |= made
        return [vectors[key] for key in hashes]

    async def query(self, text: str) -> Vector:
        """The vector of what is looked for. Raises EmbeddingFailed."""
        return await self._embedder.query(text)

    async def forget(self, texts: Sequence[str]) -> None:
        """Remove what is kept of these texts, from every embedder: a vector tells of its text."""
        await forget(self._db, texts)

    async def _known(self, hashes: Sequence[bytes]) -> dict[bytes, Vector]:
        async with self._db.pool.connection() as connection:
            given = {"embedder": self.name, "hashes": list(hashes)}
            rows = await (await connection.execute(queries.KNOWN_VECTORS, given)).fetchall()
        # A model that was replaced by another of its name may have another dimension.
        return {row["hash"]: _read(row["vector"]) for row in rows if len(row["vector"]) == 4 * self.dimension}

    async def _keep(self, vectors: Mapping[bytes, Vector]) -> None:
        # In one order for every process, so that two that keep the same texts do not wait for each other.
        rows = [
            {"embedder": self.name, "hash": key, "vector": array("f", vectors[key]).tobytes()}
            for key in sorted(vectors)
        ]
        async with self._db.pool.connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(queries.KEEP_VECTOR, rows)


async def forget(db: Database, texts: Sequence[str]) -> None:
    """Remove what is kept of these texts, whatever embedder there is now: a vector tells of its text."""
    async with db.pool.connection() as connection:
        await connection.execute(queries.DROP_VECTORS, {"hashes": [_hash(text) for text in texts]})


def _hash(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _read(raw: bytes) -> Vector:
    return normalised(array("f", raw))  # 32 bits of each number: a little off length one
