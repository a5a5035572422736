"""What a bank knows about a query: candidates from the database, scored, diversified, bounded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from weakref import WeakKeyDictionary

from psycopg.rows import DictRow, tuple_row

from core import clock
from core.incarnation import Connection
from memory import queries, rows, scoring
from memory.queries.search import Far, When, search
from memory.records import Kind, Recall, Recalled
from memory.vectors import HalfVector, understand
from memory.weights import Bounds, Weights, reach
from memory.words import analyse
from models.embeddings.base import Vector

_BYTES_PER_TOKEN: Final = 3.0
"""Of UTF-8; a careful estimate for English, and a mean one for other scripts."""

_WIDER: Final = 8
"""Times as far a second look goes, where the first found too little that is not the same."""

_REPEATS: Final = 3
"""So many that repeat others are read at once with what is told; more of them cost another journey."""

_OFTEN: Final[frozenset[When]] = frozenset({"now", "now, chosen"})
"""What is asked for every brief."""

_reached: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    text: str
    limit: int
    tokens: int | None
    kinds: Collection[Kind] | None
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class Sight:
    """The vectors that are used for it."""

    space: queries.Space
    embedder: str
    vector: Vector
    live: int
    """Memories in the bank, which tells how far to look in its graph."""


def tokens_of(text: str) -> int:
    """How many tokens a text may take, at most, for most models."""
    return int(len(text.encode("utf-8", "replace")) / _BYTES_PER_TOKEN) + 1


async def answer(
    connection: Connection,
    bank: int,
    asked: Question,
    sight: Sight | None,
    *,
    weights: Weights,
    bounds: Bounds,
    degraded: str,
    also: Callable[[], Awaitable[None]] | None = None,
) -> Recall:
    """The answer from the bank's words and, where there are vectors, from these. What `also` asks the
    database for goes with the first search, in one journey."""
    # Where tokens are counted, some of what is found may be too long.
    enough = asked.limit if asked.tokens is None else 2 * asked.limit
    beside = len(weights.neighbours)
    ranked: list[scoring.Candidate] = []
    first: list[int] = []
    alike: list[int] = []
    found: dict[int, DictRow] = {}
    for when, wider in _looks(asked):
        candidates, median = await gather(
            connection, bank, asked, sight, when, bounds=bounds, beside=beside, wider=wider, also=also
        )
        also = None
        ranked = scoring.score(asked.text, candidates, median, weights)
        first, alike, found = await _diverse(connection, queries.tables(bank), asked.text, ranked, enough)
        most, _ = bounds.looked_at(_live(sight, bounds), 2 * asked.limit, wider)
        seen = len(ranked) if when != "now, chosen" else _live(sight, bounds)
        if len(first) >= enough or seen < most:
            break  # enough that differ, or all that there is
    order = first + alike
    sizes = (tokens_of(found[number]["text"]) for number in order)
    scored = {one.number: one for one in ranked}
    hits = tuple(
        Recalled(rows.memory(found[number]), scored[number].score, scored[number].parts)
        for number in (order[place] for place in scoring.bounded(sizes, asked.limit, asked.tokens))
    )
    used = None if sight is None else sight.embedder
    return Recall(asked.text, bank, used, hits, len(ranked), asked.as_of, degraded)


async def _diverse(
    connection: Connection,
    tables: queries.Tables,
    asked: str,
    scored: Sequence[scoring.Candidate],
    enough: int,
) -> tuple[list[int], list[int], dict[int, DictRow]]:
    """The memories in their order, those that repeat others, and what was read of all: more of many alike."""
    order: list[int] = []
    alike: list[int] = []
    found: dict[int, DictRow] = {}
    terms: dict[int, frozenset[int]] = {}
    words = analyse(asked).impacts.keys()
    ranked = [one.number for one in scored]
    scores = {one.number: one.score for one in scored}
    read, size, seen = 0, enough + scoring.FURTHER + _REPEATS, False
    while enough and not seen and read < len(ranked):
        given = {"numbers": ranked[read : read + size]}
        likely = await connection.execute(tables.likely, given, prepare=True, binary=True)
        for row in await likely.fetchall():
            found[row["number"]] = row
            terms[row["number"]] = frozenset(row["terms"])
        read, size = read + size, 2 * size
        # Between the two statements something may have been forgotten.
        there = [number for number in ranked[:read] if number in found]
        order, alike, seen = scoring.diversify(there, terms, scores, words, enough)
    return order, alike, found


async def gather(
    connection: Connection,
    bank: int,
    asked: Question,
    sight: Sight | None,
    when: When,
    *,
    bounds: Bounds,
    beside: int,
    wider: int = 1,
    also: Callable[[], Awaitable[None]] | None = None,
) -> tuple[list[scoring.Candidate], float]:
    """All that may be an answer, with what stands `beside` places from it; and the median of the cosines."""
    understand(connection)
    if sight is not None:
        await _look(connection, reach(sight.live))
    space = None if sight is None else sight.space
    live = _live(sight, bounds)
    postings = bounds.read_of_a_word(live)
    often = when in _OFTEN
    far = Far(bounds.words, *bounds.looked_at(live, 2 * asked.limit, wider), beside, live <= postings)
    statement = search(
        bank, None if space is None else space.id, 0 if space is None else space.dimension, when, far
    )
    given = {
        "bank": bank,
        "space": None if space is None else space.id,
        "terms": list(analyse(asked.text).impacts),
        "vector": None if sight is None else HalfVector(sight.vector),
        "kinds": None if asked.kinds is None else list(asked.kinds),
        "as_of": asked.as_of or clock.now(),
        "postings": postings,
    }
    async with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        async with connection.pipeline():  # its end waits for all answers together
            if also is not None:
                await also()
            if often:
                await connection.execute(queries.ONE_PLAN)
            await cursor.execute(statement, given, prepare=often or None)
        answered = await cursor.fetchall()
    median = answered[0][-1] if answered else None
    return [scoring.Candidate(*row[:-1]) for row in answered], median or 0.0


def _looks(asked: Question) -> list[tuple[When, int]]:
    """How to look, and how wide: first as is nearly always enough, then as where that found too little."""
    if asked.as_of is not None:
        return [("then", 1), ("then", _WIDER)]
    if asked.kinds is None:
        return [("now", 1), ("now", _WIDER)]
    return [("now, chosen", 1), ("now, filtered", 1), ("now, filtered", _WIDER)]


def _live(sight: Sight | None, bounds: Bounds) -> int:
    """How large the bank is; without vectors it is taken for a large one."""
    return bounds.exact_below if sight is None else sight.live


async def _look(connection: Connection, far: int) -> None:
    """Set for this connection how many candidates a graph is walked with."""
    if _reached.get(connection) != far:
        await connection.execute(queries.REACH, {"reach": str(far)})
        _reached[connection] = far
