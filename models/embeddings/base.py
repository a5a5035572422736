"""What every embedder is, and what may go wrong with one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul
from typing import Final, Protocol

from core.errors import FactoryError

Vector = tuple[float, ...]
"""Of length one, unless the text says nothing at all: then of zeros."""


MOST_NUMBERS: Final = 4000
"""Of a vector: the most that the database can search by a graph."""


class EmbeddingFailed(FactoryError):
    """A text could not be turned into a vector."""

    http_status = 503


class Embedder(Protocol):
    """Turns texts into vectors. Vectors of two embedders are never compared: `name` tells them apart."""

    @property
    def name(self) -> str:
        """Which embedder it is, version and model included: what a bank remembers of its vectors."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        ...

    async def documents(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text that is to be found. Raises EmbeddingFailed."""
        ...

    async def query(self, text: str) -> Vector:
        """The vector of what is looked for. Raises EmbeddingFailed."""
        ...


def normalised(numbers: Sequence[float]) -> Vector:
    """The same direction with length one; zeros stay zeros."""
    length = math.sqrt(math.fsum(map(mul, numbers, numbers)))
    return tuple([number / length for number in numbers]) if length else tuple(numbers)
