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
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Final

from memory import dates
from memory.weights import Weights

_ALIKE: Final = 0.8
"""Two memories of which so many words are the same (Jaccard) say nearly the same."""
FURTHER: Final = 5
"""When there are enough, so many more are looked at for a newer one of these."""
_AS_GOOD: Final = 0.75
"""Of the score of an older one, what a newer one that says nearly the same needs to stand in its place."""


@dataclass(slots=True)
class Candidate:
    """A memory that may be what was asked for, and what each part gives it."""

    number: int
    session: str
    position: int
    speaker: str
    at: datetime
    bm25: float
    vector: float | None
    """The cosine; None where the memory has no vector yet."""
    word: float = 0.0
    near: float = 0.0
    beside: float = 0.0
    date: float = 0.0
    said: float = 0.0
    score: float = 0.0

    @property
    def parts(self) -> dict[str, float]:
        """The parts by their names; of the last three, those that are not 0."""
        more = {"neighbours": self.beside, "dates": self.date, "speaker": self.said}
        return {"bm25": self.word, "vector": self.near} | {name: part for name, part in more.items() if part}


def score(query: str, found: Sequence[Candidate], median: float, weights: Weights) -> list[Candidate]:
    """The candidates with their parts, the best first."""
    _fuse(found, median, weights.bm25)
    _neighbours(found, weights.neighbours)
    named = dates.named(query) if weights.dates else []
    speaker = _named_speaker(query, {one.speaker for one in found}) if weights.speaker else None
    for one in found:
        one.date = weights.dates * dates.match(named, one.at) if named else 0.0
        one.said = weights.speaker if one.speaker == speaker else 0.0
        one.score = one.word + one.near + one.beside + one.date + one.said
    return sorted(found, key=attrgetter("score", "number"), reverse=True)


def _fuse(found: Sequence[Candidate], median: float, share: float) -> None:
    best_word = max((one.bm25 for one in found), default=0.0)
    best_near = max((one.vector for one in found if one.vector is not None), default=None)
    share = 1.0 if best_near is None else share
    spread = 0.0 if best_near is None else best_near - median
    for one in found:
        one.word = share * one.bm25 / best_word if best_word > 0 else 0.0
        above = 0.0 if one.vector is None else one.vector - median
        one.near = (1 - share) * above / spread if above > 0 and spread > 0 else 0.0


def _neighbours(found: Sequence[Candidate], weights: Sequence[float]) -> None:
    """By the strongest neighbour, not by their sum: ten weak ones are no reason."""
    sessions: dict[str, dict[int, float]] = {}
    for one in found:
        if (base := one.word + one.near) > 0:
            sessions.setdefault(one.session, {})[one.position] = base
    steps = list(enumerate(weights, 1))
    nothing: dict[int, float] = {}
    for one in found:
        base_at, place, best = sessions.get(one.session, nothing).get, one.position, 0.0
        for distance, weight in steps:
            before, behind = base_at(place - distance, 0.0), base_at(place + distance, 0.0)
            given = weight * (before if before > behind else behind)
            if given > best:
                best = given
        one.beside = best


def _named_speaker(query: str, speakers: Collection[str]) -> str | None:
    """The speaker whom the query names; None where it names none, or several."""
    said = set(re.findall(r"\w+", query.casefold()))
    named = [name for name in speakers if _is_named(name, said)]
    return named[0] if len(named) == 1 else None


def _is_named(speaker: str, said: Collection[str]) -> bool:
    words = re.findall(r"[^\W_]+", speaker.casefold())
    return bool(words) and (speaker.casefold() in said or all(word in said for word in words))


def diversify(
    ranked: Iterable[int],
    terms: Mapping[int, frozenset[int]],
    scores: Mapping[int, float],
    asked: Collection[int],
    enough: int,
) -> tuple[list[int], list[int], bool]:
    """What of the `ranked` says something else than what is before it, until there are `enough`; what nearly
    repeats one of these; and whether all was seen that had to be.

    Of two that are nearly the same and score nearly the same, the newer comes first where each has a word in
    the place of the other's, and that of the older was not `asked` for: where they contradict each other, the
    newer is the one that holds.
    """
    first: list[int] = []
    behind: list[int] = []
    further = FURTHER
    for number in ranked:
        if len(first) >= enough:
            if not further:
                break
            further -= 1
        at = next((at for at, other in enumerate(first) if _alike(terms[number], terms[other])), None)
        if at is None:
            if len(first) < enough:
                first.append(number)
            continue
        older = first[at]
        as_good = scores[number] >= _AS_GOOD * scores[older]
        if number > older and as_good and _instead(terms[number], terms[older], asked):
            behind.append(older)
            first[at] = number
        else:
            behind.append(number)
    return first, behind, not further


def _instead(newer: frozenset[int], older: frozenset[int], asked: Collection[int]) -> bool:
    """Whether each has words in the place of the other's, and nobody asked for those of the older."""
    replaced = older - newer
    return bool(replaced and newer - older) and replaced.isdisjoint(asked)


def _alike(one: frozenset[int], other: frozenset[int]) -> bool:
    """Whether so many words are the same (Jaccard)."""
    fewer, more = sorted((len(one), len(other)))
    if fewer < _ALIKE * more:  # not even if all of the fewer were among the more
        return False
    same = len(one & other)
    return same >= _ALIKE * (fewer + more - same)


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
