"""What a recall costs in a large memory, and what it misses: 100,000 memories in 18 banks of unequal size.

The memories are made up: words of a Zipf-like vocabulary, in sessions of twenty, added through `Bank.add`. A
query is some words of a memory and some of its neighbour's. Measured is the whole of `Bank.recall`, but for
the embedding of the query, which is known beforehand. What an exact search finds (all words, all vectors, no
graph) is what the recall is held against.

What a server does by itself in the minutes after so much was added (autovacuum) is done before the clock
runs. The machine may do other things meanwhile. So of five rounds the median of their p95 counts, and beside
it stands the p95 of the processor's time that this process and the server's took for a query: what it takes
on an idle machine, less a few tenths of a millisecond of waiting for each other.

FACTORY_BENCH_MEMORIES sets another number than 100,000, FACTORY_BENCH_BANKS how many further banks are made
beside (1,000). How cost grows with the number of memories: `python -m benchmarks.memory_growth`.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
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
_ROUNDS = 5
_BACKENDS = """
SELECT pid FROM pg_stat_activity WHERE usename = current_user AND backend_type = 'client backend'
"""
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
    """A bank, what it was given, and what can be asked about it."""

    bank: Bank
    filling: Bank
    """The same, as it is filled."""
    vocabulary: Vocabulary
    texts: list[str]
    queries: list[str]

    @property
    def size(self) -> int:
        """Memories in it."""
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class Taken:
    """What recalls took, in milliseconds, over several rounds of the same queries."""

    rounds: list[list[float]]
    cpu: list[list[float]]
    """Of the processor, of this process and the server's together."""

    @property
    def p95(self) -> float:
        """The median of the rounds' 95th percentiles."""
        return median(quantiles(one, n=20)[-1] for one in self.rounds)

    @property
    def cpu_p95(self) -> float:
        """The 95th percentile of the processor's time, likewise."""
        return median(quantiles(one, n=20)[-1] for one in self.cpu)

    @property
    def quickest(self) -> float:
        """The median over the queries of the least processor's time of each."""
        return median(min(tries) for tries in zip(*self.cpu, strict=True))


def measure() -> Iterator[Measurement]:
    """Yield the measurements."""
    yield from asyncio.run(_measure())


@dataclass(frozen=True, slots=True)
class Opened:
    """A memory in a database of its own, as it is asked, and as it is filled: the graphs of banks are built
    when they are full, which takes a tenth of what it takes to put one memory after the other into them."""

    memories: Memories
    filling: Memories
    embedder: KnownQueries

    async def begin(self, rank: int) -> Filled:
        """An empty bank."""
        name = f"team {rank}"
        asked, filling = await self.memories.bank("scale", name), await self.filling.bank("scale", name)
        return Filled(asked, filling, Vocabulary(), [], [])


@asynccontextmanager
async def opened(home: Path) -> AsyncGenerator[Opened]:
    """An empty memory."""
    embedder, no_graphs = KnownQueries(), Bounds(exact_below=10**9)
    async with (
        Database.open(Settings(home=home)) as db,
        Memories.open(db, embedder) as memories,
        Memories.open(db, embedder, bounds=no_graphs) as filling,
    ):
        yield Opened(memories, filling, embedder)


async def _measure() -> list[Measurement]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with opened(Path(home)) as here:
            banks = [await here.begin(rank) for rank in range(BANKS)]
            began = time.perf_counter()
            for filled, size in zip(banks, sizes(MEMORIES), strict=True):
                await fill(filled, here.embedder, size)
            took = 1000 * (time.perf_counter() - began) / MEMORIES
            say(f"added {MEMORIES:,} memories, {took:.2f} ms each")
            began = time.perf_counter()
            for filled in banks:
                await filled.bank.catch_up()
            say(f"the graphs took {time.perf_counter() - began:.0f} s")
            async with here.memories.db.pool.connection() as connection:
                await connection.execute("VACUUM (ANALYZE)")
            return [line async for line in _asked(here, banks)]


async def _asked(here: Opened, banks: Sequence[Filled]) -> AsyncGenerator[Measurement]:
    memories, largest, small = here.memories, banks[0], banks[-1]
    for one, goal in ((largest, 25.0), (small, 5.0)):
        taken = await time_of(memories, one)
        name = f"recall, p95, bank of {one.size:,} of {MEMORIES:,}"
        yield Measurement(name, taken.p95, "ms", goal=goal)
        yield Measurement(f"{name}, processor's time", taken.cpu_p95, "ms", goal=goal)
    missed = 1 - sum([await agreement(memories, one) for one in (largest, banks[1])]) / 2
    yield Measurement("recall against exact search, missed", missed, "", goal=0.03)
    before = (await time_of(memories, small)).quickest
    await _more(memories, FURTHER)
    after = (await time_of(memories, small)).quickest
    name = f"recall, processor's time, bank of {small.size:,} beside {FURTHER:,} further banks"
    yield Measurement(name, after, "ms", goal=1.25, baseline=before)


def sizes(memories: int) -> list[int]:
    """The banks' sizes, falling as a power of their rank; the last is the small one."""
    shares = [1 / (rank + 1) ** _SKEW for rank in range(BANKS - 1)]
    return [round((memories - SMALL) * share / sum(shares)) for share in shares] + [SMALL]


async def fill(filled: Filled, embedder: KnownQueries, size: int) -> None:
    """Add to a bank until it has `size` memories, and ask about all of them from now on."""
    for start in range(filled.size, size, _AT_ONCE):
        fresh = [filled.vocabulary.memory() for _ in range(min(_AT_ONCE, size - start))]
        drafts = [_draft(text, start + number) for number, text in enumerate(fresh)]
        await filled.filling.add(drafts, key=str(start))
        filled.texts.extend(fresh)
    filled.queries[:] = [_query(filled.vocabulary.chance, filled.texts) for _ in range(_QUERIES)]
    embedder.learn(filled.queries)


def _draft(text: str, number: int) -> Draft:
    at = _AT + timedelta(minutes=number)
    return Draft(text, Kind.FACT, _SOURCE, f"team {number % 3}", f"session {number // 20}", at)


def _query(chance: random.Random, texts: Sequence[str]) -> str:
    number = chance.randrange(len(texts) - 1)
    one, beside = texts[number].split(), texts[number + 1].split()
    return " ".join(chance.sample(one, 5) + chance.sample(beside, 2))


async def _round(filled: Filled, servers: Sequence[Path]) -> tuple[list[float], list[float]]:
    taken: list[float] = []
    cpu: list[float] = []
    for query in filled.queries:
        served, used, began = _served(servers), time.process_time(), time.perf_counter()
        found = await filled.bank.recall(query)
        taken.append(1000 * (time.perf_counter() - began))
        now = _served(servers)
        cpu.append(1000 * (time.process_time() - used) + sum(now[file] - served[file] for file in now) / 1e6)
        assert found.hits, query
    return taken, cpu


async def time_of(memories: Memories, filled: Filled) -> Taken:
    """What recalls from a bank take."""
    await _round(filled, [])  # the caches of a server that has been up for a while
    async with memories.db.pool.connection() as connection:
        backends = await (await connection.execute(_BACKENDS)).fetchall()
    servers = [Path(f"/proc/{row['pid']}/schedstat") for row in backends]
    rounds = [await _round(filled, servers) for _ in range(_ROUNDS)]
    return Taken([taken for taken, _ in rounds], [cpu for _, cpu in rounds])


def _served(servers: Sequence[Path]) -> dict[Path, int]:
    """Nanoseconds that these processes have had the processor; of those that have ended, nothing."""
    found: dict[Path, int] = {}
    for file in servers:
        with suppress(FileNotFoundError, ProcessLookupError):
            found[file] = int(file.read_text().split()[0])
    return found


async def agreement(memories: Memories, filled: Filled, queries: int = _EXACT_QUERIES) -> float:
    """The share of an exact search's ten best that recall finds."""
    everything = Bounds(candidates=(10**7, 10**7, 10**7), seeds=(0, 0, 0), postings=10**7)
    found: list[float] = []
    for query in filled.queries[:queries]:
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
    say(f"made {count:,} further banks, {1000 * (time.perf_counter() - began) / max(1, count):.0f} ms each")


def say(text: str) -> None:
    """Tell how far it has come."""
    print(f"memory_scale: {text}", file=sys.stderr, flush=True)
