"""Vectors that were computed before, by the hash of their text: a text is sent to a model once."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
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
        """One vector for each text; only what is not known yet goes to the embedder. Raises EmbeddingFailed."""
        hashes = [_hash(text) for text in texts]
        known = await queries.known_vectors(self._db, self.name, sorted(set(hashes)))
        vectors = {key: _read(raw) for key, raw in known.items() if len(raw) == 4 * self.dimension}
        missing = {key: text for key, text in zip(hashes, texts, strict=True) if key not in vectors}
        if missing:
            fresh = await self._embedder.documents(list(missing.values()))
            made = dict(zip(missing, fresh, strict=True))
            await queries.keep_vectors(self._db, self.name, {key: _raw(made[key]) for key in sorted(made)})
            vectors |= made
        return [vectors[key] for key in hashes]

    async def query(self, text: str) -> Vector:
        """The vector of what is looked for. Raises EmbeddingFailed."""
        return await self._embedder.query(text)

    async def forget(self, texts: Sequence[str]) -> None:
        """Remove what is kept of these texts, from every embedder: a vector tells of its text."""
        await queries.drop_vectors(self._db, [_hash(text) for text in texts])


def _hash(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _raw(vector: Vector) -> bytes:
    return array("f", vector).tobytes()


def _read(raw: bytes) -> Vector:
    # Rounded to 32 bits, so that it is a little off length one.
    return normalised(array("f", raw))
