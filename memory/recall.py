"""What a bank knows about a query."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from core import clock
from core.incarnation import Connection
from memory import queries, rows
from memory.records import Kind, Memory, Recall, Recalled
from memory.vectors import HalfVector
from memory.words import analyse
from models.embeddings.base import Vector

_CANDIDATES = 200
_MOST_POSTINGS = 2000
_LEXICAL_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    text: str
    limit: int
    tokens: int | None
    kinds: Collection[Kind] | None
    as_of: datetime | None


async def answer(
    connection: Connection,
    bank: int,
    tables: queries.Tables,
    space: queries.Space | None,
    asked: Question,
    vector: Vector | None,
    embedder: str,
    degraded: str,
) -> Recall:
    """Answer from the bank's words and, where there is a vector, from its space."""
    lexical = await _lexical(connection, bank, asked.text)
    near: dict[int, float] = {}
    if space is not None and vector is not None:
        near = await _near(connection, space, vector, lexical)
    best_word, best_near = max(lexical.values(), default=0.0), max(near.values(), default=0.0)
    scores: dict[int, dict[str, float]] = {}
    share = _LEXICAL_SHARE if near else 1.0
    for number in {*lexical, *near}:
        scores[number] = {
            "bm25": share * lexical.get(number, 0.0) / best_word if best_word else 0.0,
            "vector": (1 - share) * max(0.0, near.get(number, 0.0)) / best_near if best_near > 0 else 0.0,
        }
    ranked = sorted(scores, key=lambda number: (-sum(scores[number].values()), number))
    found = await (await connection.execute(tables.some, {"numbers": ranked})).fetchall()
    memories = {row["number"]: rows.memory(row) for row in found}
    now = asked.as_of or clock.now()
    hits: list[Recalled] = []
    for number in ranked:
        memory = memories.get(number)
        if memory is None or not _holds(memory, now, asked) or len(hits) == asked.limit:
            continue
        hits.append(Recalled(memory, sum(scores[number].values()), scores[number]))
    used = embedder if near else None
    return Recall(asked.text, bank, used, tuple(hits), len(scores), asked.as_of, degraded)


def _holds(memory: Memory, at: datetime, asked: Question) -> bool:
    if memory.forgotten_at is not None or (asked.kinds is not None and memory.kind not in asked.kinds):
        return False
    return memory.valid_from <= at and (memory.valid_to is None or memory.valid_to > at)


async def _lexical(connection: Connection, bank: int, text: str) -> dict[int, float]:
    terms = list(analyse(text).impacts)
    found = await connection.execute(queries.STATISTICS, {"bank": bank, "terms": terms})
    known = [row for row in await found.fetchall() if row["term"] is not None]
    if not known:
        return {}
    live = known[0]["live"]
    idfs = [math.log(1 + (live - row["memories"] + 0.5) / (row["memories"] + 0.5)) for row in known]
    given = {
        "bank": bank,
        "terms": [row["term"] for row in known],
        "idfs": idfs,
        "most": _MOST_POSTINGS,
        "limit": _CANDIDATES,
    }
    cursor = await connection.execute(queries.LEXICAL, given)
    return {row["number"]: row["score"] for row in await cursor.fetchall()}


async def _near(
    connection: Connection, space: queries.Space, vector: Vector, also: Collection[int]
) -> dict[int, float]:
    given = {"vector": HalfVector(vector), "limit": _CANDIDATES, "numbers": list(also)}
    found = await (await connection.execute(space.nearest, given)).fetchall()
    found += await (await connection.execute(space.closeness, given)).fetchall()
    return {row["number"]: row["score"] for row in found}
