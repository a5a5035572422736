"""What a recall costs in a large memory, and what it misses: 100,000 memories in 18 banks of unequal size.

The memories are made up: words of a Zipf-like vocabulary, in sessions of twenty, added through `Bank.add`. A
query is some words of a memory and some of its neighbour's. Measured is the whole of `Bank.recall`, but for
the embedding of the query, which is known beforehand. What an exact search finds (all words, all vectors, no
graph) is what the recall is held against.

FACTORY_BENCH_MEMORIES sets another number than 100,000 (the growth in docs/memory.md), FACTORY_BENCH_BANKS
how many further banks are made beside (1,000).
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from statistics import median, quantiles

from benchmarks.measure import Measurement
from core.database import Database
from core.settings import Settings
from memory import embedding, recall, scoring
from memory.bank import Bank
from memory.records import Draft, Kind, Source, place
from memory.service import Memories
from memory.weights import Bounds
from models.embeddings.base import Vector
from models.embeddings.local import LocalEmbedder

MEMORIES = int(os.environ.get("FACTORY_BENCH_MEMORIES", "100000"))
FURTHER = int(os.environ.get("FACTORY_BENCH_BANKS", "1000"))
BANKS = 18
SMALL = 1000
"""Memories of the smallest bank."""
_SKEW = 1.2
_QUERIES = 200
_EXACT_QUERIES = 40
_AT_ONCE = 500
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_SOURCE = Source("scale", 1, "", "scale")


class KnownQueries:
    """The local embedder, with the vectors of the queries computed before the clock runs."""

    def __init__(self) -> None:
        self._local = LocalEmbedder()
        self.name, self.dimension = self._local.name, self._local.dimension
        self._known: dict[str, Vector] = {}

    def learn(self, queries: Sequence[str]) -> None:
        """Compute the vectors of these queries."""
        self._known |= {text: self._local.vector(text) for text in queries}

    async def documents(self, texts: Sequence[str]) -> list[Vector]:
        """As the local embedder has them."""
        return await self._local.documents(texts)

    async def query(self, text: str) -> Vector:
        """What was computed before."""
        return self._known[text]


class Vocabulary:
    """Words that nobody says, as often as words are said: the commonest in a tenth of the memories."""

    def __init__(self, size: int = 20_000) -> None:
        self.chance = random.Random(7)
        syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
        self._words = ["".join(self.chance.choices(syllables, k=3 + number % 3)) for number in range(size)]
        self._weights = list(accumulate(1 / (rank + 20) for rank in range(size)))

    def memory(self) -> str:
        """A text of 8 to 20 words."""
        return " ".join(
            self.chance.choices(self._words, cum_weights=self._weights, k=self.chance.randint(8, 20))
        )


@dataclass(frozen=True, slots=True)
class Filled:
    """A bank and what can be asked about it."""

    bank: Bank
    size: int
    queries: list[str]


def measure() -> Iterator[Measurement]:
    """Yield the measurements."""
    yield from asyncio.run(_measure())


async def _measure() -> list[Measurement]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        embedder = KnownQueries()
        async with (
            Database.open(Settings(home=Path(home))) as db,
            Memories.open(db, embedder) as memories,
        ):
            began = time.perf_counter()
            banks = [await _fill(memories, embedder, rank, size) for rank, size in enumerate(_sizes())]
            _say(
                f"added {MEMORIES:,} memories, {1000 * (time.perf_counter() - began) / MEMORIES:.2f} ms each"
            )
            began = time.perf_counter()
            await memories.settled()
            for filled in banks:
                await filled.bank.catch_up()
            _say(f"the rest of the graphs took {time.perf_counter() - began:.0f} s")
            largest, small = banks[0], banks[-1]
            lines = [
                Measurement(f"recall, p95, bank of {one.size:,} of {MEMORIES:,}", p95, "ms", goal=goal)
                for one, goal in ((largest, 25.0), (small, 5.0))
                for p95 in [await _p95(one)]
            ]
            missed = 1 - sum([await _agreement(memories, one) for one in (largest, banks[1])]) / 2
            lines.append(Measurement("recall against exact search, missed", missed, "", goal=0.03))
            before = await _least(small)
            await _more(memories, FURTHER)
            after = await _least(small)
            name = f"recall, quickest of five, bank of {small.size:,} beside {FURTHER:,} further banks"
            lines.append(Measurement(name, after, "ms", goal=1.25, baseline=before))
            return lines


def _sizes() -> list[int]:
    """The banks' sizes, falling as a power of their rank; the last is the small one."""
    shares = [1 / (rank + 1) ** _SKEW for rank in range(BANKS - 1)]
    return [round((MEMORIES - SMALL) * share / sum(shares)) for share in shares] + [SMALL]


async def _fill(memories: Memories, embedder: KnownQueries, rank: int, size: int) -> Filled:
    bank = await memories.bank("scale", f"team {rank}")
    vocabulary = Vocabulary()
    texts: list[str] = []
    for start in range(0, size, _AT_ONCE):
        fresh = [vocabulary.memory() for _ in range(min(_AT_ONCE, size - start))]
        drafts = [_draft(text, start + number) for number, text in enumerate(fresh)]
        await bank.add(drafts, key=str(start))
        texts += fresh
    queries = [_query(vocabulary.chance, texts) for _ in range(_QUERIES)]
    embedder.learn(queries)
    return Filled(bank, size, queries)


def _draft(text: str, number: int) -> Draft:
    at = _AT + timedelta(minutes=number)
    return Draft(text, Kind.FACT, _SOURCE, f"team {number % 3}", f"session {number // 20}", at)


def _query(chance: random.Random, texts: Sequence[str]) -> str:
    number = chance.randrange(len(texts) - 1)
    one, beside = texts[number].split(), texts[number + 1].split()
    return " ".join(chance.sample(one, 5) + chance.sample(beside, 2))


async def _times(filled: Filled) -> list[float]:
    taken: list[float] = []
    for query in filled.queries:
        began = time.perf_counter()
        found = await filled.bank.recall(query)
        taken.append(1000 * (time.perf_counter() - began))
        assert found.hits, query
    return taken


async def _p95(filled: Filled) -> float:
    await _times(filled)  # the caches of a server that has been up for a while
    return quantiles(await _times(filled), n=20)[-1]


async def _least(filled: Filled) -> float:
    """The median over the queries of the quickest of five tries each: without what else the machine does."""
    rounds = [await _times(filled) for _ in range(6)][1:]
    return median(min(tries) for tries in zip(*rounds, strict=True))


async def _agreement(memories: Memories, filled: Filled) -> float:
    """The share of an exact search's ten best that recall finds."""
    everything = Bounds(candidates=(10**7, 10**7, 10**7), seeds=(0, 0, 0), postings=10**7)
    found: list[float] = []
    for query in filled.queries[:_EXACT_QUERIES]:
        now = await embedding.state(memories.db, filled.bank.id)
        [space] = now.spaces
        sight = recall.Sight(space.space, space.embedder, await memories.embedder.query(query), now.live)
        asked = recall.Question(query, 10, None, None, None)
        async with memories.db.pool.connection() as connection:
            await connection.execute("SET enable_indexscan = off")
            candidates, middle = await recall.gather(
                connection, filled.bank.id, asked, sight, "now", bounds=everything, beside=0
            )
            await connection.execute("RESET enable_indexscan")
        ranked = scoring.score(query, candidates, middle, memories.weights)
        exact = {one.number for one in ranked[:10]}
        got = {place(hit.memory.id)[1] for hit in (await filled.bank.recall(query)).hits}
        found.append(len(exact & got) / len(exact))
    return sum(found) / len(found)


async def _more(memories: Memories, count: int) -> None:
    """Further banks with something in them, in other projects."""
    began = time.perf_counter()
    for number in range(count):
        bank = await memories.bank(f"project {number // BANKS}", f"team {number % BANKS}")
        await bank.add([_draft(f"Something that bank {number} knows.", number)], key="a")
    _say(f"made {count:,} further banks, {1000 * (time.perf_counter() - began) / max(1, count):.0f} ms each")


def _say(text: str) -> None:
    print(f"memory_scale: {text}", file=sys.stderr, flush=True)
