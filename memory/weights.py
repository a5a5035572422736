"""What counts how much in recall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from memory.errors import MemoryRefused


@dataclass(frozen=True, slots=True)
class Weights:
    """The defaults were chosen on LoCoMo's conversations 1 to 5; docs/memory.md shows what each part gave
    there and on conversations 6 to 10."""

    bm25: float = 0.8
    """Of 1: the rest is the vectors'. Both are scaled to the bank's best before they are added."""
    neighbours: tuple[float, ...] = (0.6, 0.5, 0.4)
    """What a memory gets of the score of one that stands 1, 2, 3 places beside it in its session."""
    dates: float = 1.0
    """For a memory of the day that the query names; half for its month, a quarter for its year."""
    speaker: float = 0.3
    """For a memory of the one speaker that the query names."""

    @classmethod
    def of(cls, given: Mapping[str, float | tuple[float, ...]]) -> Weights:
        """The defaults but for what an operator set (`FACTORY_RECALL_WEIGHTS`). Raises MemoryRefused."""
        known = {field.name for field in fields(cls)}
        for name, value in given.items():
            numbers = value if isinstance(value, tuple) else (value,)
            fits = name in known and isinstance(value, tuple) == (name == "neighbours")
            most = 1 if name == "bm25" else 10  # what is left of 1 is the vectors' weight
            if not fits or not all(0 <= number <= most for number in numbers) or len(numbers) > 10:
                raise MemoryRefused(
                    f"recall_weights has {name} = {value}",
                    todo=f"Give {', '.join(sorted(known))}, from 0 to 10; bm25 to 1; neighbours is a list",
                )
        return replace(cls(), **given)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far recall looks. Larger is slower; measured by `python -m benchmarks memory_scale`."""

    candidates: tuple[int, int, int] = (60, 100, 200)
    """Memories that words, and as many that vectors, put forward: in a bank that is searched exactly, in a
    larger one, and in one that is ten times as large."""
    seeds: tuple[int, int, int] = (12, 30, 60)
    """The best of each whose neighbours are looked at too. In a bank of 36,000, 12 missed 0.067 of what an
    exact search finds, 30 missed 0.017; on LoCoMo's banks of 600, 30 gave 0.002 more.
    In one of 100,000, 30 missed 0.083 and 60 missed 0.025."""
    postings: int = 1000
    """Memories of one word that are read at least, those that it says most about first."""
    words: int = 32
    """Of a query, the rarest in the bank. A whole page as a query costs no more."""
    exact_below: int = 5000
    """Live memories of a bank from which on its vectors get a graph (HNSW)."""

    def read_of_a_word(self, live: int) -> int:
        """Postings of one word that are read in a bank of this size. In one of 100,000, 1,000 of them found
        0.82 of what an exact search does, 5,000 found 0.94."""
        return max(self.postings, live // 25)

    def looked_at(self, live: int, least: int, wider: int) -> tuple[int, int]:
        """Candidates and seeds for a bank of this size: at least so many candidates, or so much wider."""
        size = (live >= self.exact_below) + (live >= 10 * self.exact_below)
        return wider * max(self.candidates[size], least), wider * self.seeds[size]


def reach(live: int) -> int:
    """HNSW's `ef_search` for a bank of this size: the candidates it keeps while it walks the graph."""
    return 100 if live < 20_000 else 200 if live < 200_000 else 400
