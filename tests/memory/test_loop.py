"""What is recalled does not become new by being said again, not after a hundred rounds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.database import Database
from memory.evidence import Text
from memory.extraction import results
from memory.extraction.echoes import Echoes
from memory.extraction.results import Result
from memory.records import Draft, Recalled, Source
from memory.service import Bank, Memories
from memory.telling import Told, recalled_in
from models.embeddings.local import LocalEmbedder

TIMES = 100
PAGE = Text(
    "A loan lasts 21 days.\nThe service listens on port 8080.\n"
    "ห้องสมุดเปิดเวลา 9 นาฬิกา\nEen lid mag 3 boeken lenen. 📚\n",
    "docs/text.md",
)


def drafts(read: results.Read, number: int) -> list[Draft]:
    source = Source(f"run-{number}", 7, "ab" * 32, "writer.1", "docs/text.md", 1)
    at = datetime(2026, 1, 1, 0, number % 60, tzinfo=UTC)
    return [
        Draft(claim.text, claim.kind, source, "writer", f"run-{number}/writer.1", at, claim.subject)
        for claim in read.claims
    ]


def brief(hits: tuple[Recalled, ...]) -> str:
    return "\n".join(f"> {Told.of(hit, 'writer').sentence}" for hit in hits)


async def state(bank: Bank) -> list[tuple[int, str, bool]]:
    kept = await bank.list(past=True)
    return [(memory.id, memory.text, memory.valid_to is None) for memory in kept]


@pytest.mark.parametrize(
    ("how", "knows"),
    [("{}", True), ("Fact: {}", True), ("As was recalled: {}", True), ("{} (checked)", True), ("{}", False)],
)
async def test_recall_fed_into_retain_a_hundred_times_does_not_make_a_bank_grow(
    database: Database, how: str, knows: bool
) -> None:
    async with Memories.open(database, LocalEmbedder()) as memories:
        bank = await memories.bank("library", "writer")
        facts = Result(facts=tuple(PAGE.text.splitlines()))
        await bank.add(drafts(results.read(facts, [PAGE], Echoes(())), 0), key="0")
        before = await state(bank)
        assert len(before) == 4
        for number in range(1, TIMES + 1):
            hits = (await bank.recall("loan service port ห้องสมุด boeken lenen 📚", limit=10)).hits
            assert hits
            said = Result(facts=tuple(how.format(hit.memory.text) for hit in hits))
            echoes = Echoes(recalled_in([brief(hits)]) if knows else ())
            read = results.read(said, [PAGE], echoes)
            assert read.echoes == (len(hits) if knows else 0)
            if again := drafts(read, number):
                await bank.add(again, key=str(number))
        assert await state(bank) == before
