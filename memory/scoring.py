"""From what the database found to an order of memories: pure functions, to be read and replayed.

The score of a memory is a sum of parts, each of which `Recalled.parts` shows:

    bm25        share x BM25 / the best BM25 of the bank
    vector      (1 - share) x (cosine - median) / (best - median), not below 0; the median is the bank's
    neighbours  the largest part of (bm25 + vector) of a memory near by in the same session, by distance
    dates       where the query names a date and the memory is of it
    speaker     where the query names one speaker and the memory is theirs
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from memory import dates
from memory.weights import Weights

_ALIKE: Final = 0.8
"""Two memories of which so many words are the same (Jaccard) say nearly the same."""


@dataclass(slots=True)
class Candidate:
    """A memory that may be what was asked for, with the parts of its score."""

    number: int
    session: str
    position: int
    speaker: str
    at: datetime
    bm25: float
    vector: float | None
    """The cosine; None where the memory has no vector yet."""
    base: float = 0.0
    parts: dict[str, float] | None = None

    @property
    def score(self) -> float:
        """All parts together."""
        return sum(self.parts.values()) if self.parts else 0.0


def score(query: str, found: Sequence[Candidate], median: float, weights: Weights) -> list[Candidate]:
    """The candidates with their parts, the best first."""
    _fuse(found, median, weights.bm25)
    _neighbours(found, weights.neighbours)
    for name, weight, parts in (
        ("dates", weights.dates, dates.matches(dates.named(query), (one.at for one in found))),
        ("speaker", weights.speaker, _spoken_by(query, [one.speaker for one in found])),
    ):
        for one, part in zip(found, parts, strict=True):
            if weight * part and one.parts is not None:
                one.parts[name] = weight * part
    return sorted(found, key=lambda one: (-one.score, one.number))


def _fuse(found: Sequence[Candidate], median: float, share: float) -> None:
    near = [one.vector for one in found if one.vector is not None]
    best_word = max((one.bm25 for one in found), default=0.0)
    spread = max(near, default=0.0) - median
    share = share if near else 1.0
    for one in found:
        word = share * one.bm25 / best_word if best_word > 0 else 0.0
        above = 0.0 if one.vector is None else max(0.0, one.vector - median)
        vector = (1 - share) * above / spread if spread > 0 else 0.0
        one.base = word + vector
        one.parts = {"bm25": word, "vector": vector}


def _neighbours(found: Sequence[Candidate], weights: Sequence[float]) -> None:
    """By the strongest neighbour, not by their sum: ten weak ones are no reason."""
    placed = {(one.session, one.position): one.base for one in found}
    for one in found:
        best = 0.0
        for distance, weight in enumerate(weights, 1):
            for position in (one.position - distance, one.position + distance):
                best = max(best, weight * placed.get((one.session, position), 0.0))
        if best and one.parts is not None:
            one.parts["neighbours"] = best


def _spoken_by(query: str, speakers: Sequence[str]) -> list[float]:
    """1 for each candidate of the one speaker whom the query names; all 0 where it names none, or several."""
    said = set(re.findall(r"\w+", query.casefold()))
    named = {name for name in set(speakers) if _is_named(name, said)}
    return [1.0 if len(named) == 1 and name in named else 0.0 for name in speakers]


def _is_named(speaker: str, said: Collection[str]) -> bool:
    words = re.findall(r"[^\W_]+", speaker.casefold())
    return bool(words) and (speaker.casefold() in said or all(word in said for word in words))


def diversify(
    order: Sequence[int], more: Sequence[int], terms: dict[int, frozenset[int]]
) -> tuple[list[int], list[int]]:
    """The order with what of `more` says something else; and what of it nearly repeats one before it."""
    first = list(order)
    behind: list[int] = []
    for number in more:
        alike = any(_jaccard(terms[number], terms[other]) >= _ALIKE for other in first)
        (behind if alike else first).append(number)
    return first, behind


def _jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    together = len(one | other)
    return len(one & other) / together if together else 1.0


def bounded(sizes: Iterable[int], limit: int, tokens: int | None) -> list[int]:
    """The places of what fits: at most `limit`, of at most `tokens` together. One that is too large is passed
    over for smaller ones behind it."""
    taken: list[int] = []
    left = tokens
    for place, size in enumerate(sizes):
        if len(taken) == limit:
            break
        if left is None or size <= left:
            taken.append(place)
            left = None if left is None else left - size
    return taken
