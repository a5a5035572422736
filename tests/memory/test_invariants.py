"""Whatever is added, superseded, taken back and forgotten: what is searched is exactly what holds."""

from __future__ import annotations

import asyncio
import random

import pytest

from core.database import Database
from memory.bank import Bank
from memory.lineage.forgetting import forget
from memory.lineage.taking_back import take_back
from memory.records import Draft
from memory.service import Memories
from tests.memory.conftest import MakeDraft

_SOUND = """
SELECT
    (SELECT live FROM factory.banks WHERE id = {bank}) - count(*) FILTER (WHERE live) AS uncounted,
    (SELECT words FROM factory.banks WHERE id = {bank})
        - coalesce(sum(words) FILTER (WHERE live), 0) AS unsaid,
    count(*) FILTER (WHERE live AND (superseded_by IS NOT NULL OR forgotten_at IS NOT NULL)) AS undead,
    count(*) FILTER (WHERE forgotten_at IS NOT NULL AND (text <> '' OR terms <> '{{}}')) AS unforgotten,
    (SELECT count(*) FROM (
        (SELECT number, term, impact FROM factory.memories_{bank}, unnest(terms, impacts) AS t(term, impact)
            WHERE live
         EXCEPT SELECT number, term, impact FROM factory.postings WHERE bank = {bank})
        UNION ALL
        (SELECT number, term, impact FROM factory.postings WHERE bank = {bank}
         EXCEPT SELECT number, term, impact
            FROM factory.memories_{bank}, unnest(terms, impacts) AS t(term, impact) WHERE live)
    ) AS d) AS unposted,
    (SELECT count(*) FROM factory.terms t WHERE bank = {bank} AND memories <> (
        SELECT count(*) FROM factory.postings p WHERE p.bank = t.bank AND p.term = t.term)) AS miscounted,
    (SELECT count(*) FROM factory.vectors v JOIN factory.spaces s ON s.id = v.space AND s.bank = {bank}
        JOIN factory.memories_{bank} m USING (number) WHERE v.live <> m.live) AS misplaced,
    (SELECT count(*) FROM factory.memories_{bank} m WHERE forgotten_at IS NULL AND NOT EXISTS (
        SELECT FROM factory.vectors v JOIN factory.spaces s ON s.id = v.space AND s.bank = {bank}
        WHERE v.number = m.number)) AS unembedded
FROM factory.memories_{bank}
"""


async def assert_sound(database: Database, bank: Bank) -> None:
    async with database.pool.connection() as connection:
        row = await (await connection.execute(_SOUND.format(bank=bank.id))).fetchone()  # pyright: ignore
    assert row is not None
    assert {name: number for name, number in row.items() if number} == {}


def some(chance: random.Random, draft: MakeDraft, day: int) -> list[Draft]:
    return [
        draft(
            f"{chance.choice(['A loan', 'The fine'])} of group {chance.randrange(12)} has {day % 5}.",
            subject=chance.choice([None, None, "loan", "fine", "member"]),
            days=day,
            session=f"run-{chance.randrange(3)}/qa",
        )
        for _ in range(chance.randrange(1, 6))
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_searched_is_exactly_what_holds(
    database: Database, memories: Memories, bank: Bank, draft: MakeDraft, seed: int
) -> None:
    chance = random.Random(seed)
    ids: list[int] = []
    for day in range(25):
        match chance.randrange(6):
            case 0 if ids:
                await forget(memories, chance.sample(ids, 1), why="asked to", by="Ada")
            case 1 if ids:
                await take_back(memories, chance.sample(ids, 1), why="the run failed")
            case _:
                ids += [one.id for one in await bank.add(some(chance, draft, day), key=f"{day}")]
    await assert_sound(database, bank)


async def test_writers_at_once_leave_a_sound_bank(database: Database, bank: Bank, draft: MakeDraft) -> None:
    chance = random.Random(5)
    batches = [some(chance, draft, day) for day in range(24)]
    await asyncio.gather(*(bank.add(batch, key=str(number)) for number, batch in enumerate(batches)))
    await assert_sound(database, bank)
    subjects = [one.subject for one in await bank.list() if one.subject]
    assert len(subjects) == len(set(subjects))
