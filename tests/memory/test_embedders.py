"""A bank whose embedder is changed, replaced, down, or lies: words go on, and vectors never mix."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import pytest

from core.database import Database
from memory import adding, embedding, queries
from memory.bank import Bank
from memory.records import SpaceInfo
from memory.service import Memories
from models.catalogue import load
from models.embeddings.base import Embedder, Vector
from models.embeddings.cache import CachedEmbedder
from models.embeddings.local import LocalEmbedder
from models.embeddings.ollama import OllamaEmbedder
from tests.doubles.fixtures import ollama_server
from tests.doubles.ollama_server import OllamaServer, letters
from tests.memory.conftest import MakeDraft

__all__ = ["ollama_server"]

LOANS = [f"Loan rule {n}: members of group {n} return books after {n} days." for n in range(30)]
LOCAL = "local/hash-512-v1"
OLLAMA = "ollama/nomic-embed-text"


async def connected(server: OllamaServer) -> Embedder:
    limits = load().limits
    return await OllamaEmbedder.connect(server.url, "nomic-embed-text", num_ctx=2048, limits=limits)


async def spaces(memories: Memories) -> list[tuple[str, int, bool]]:
    [info] = await memories.banks("library")
    return [(space.embedder, space.dimension, space.whole) for space in info.spaces]


async def texts(bank: Bank, query: str) -> list[str]:
    return [hit.memory.text for hit in (await bank.recall(query)).hits]


async def test_a_bank_remembers_its_embedder_and_dimension(
    memories: Memories, bank: Bank, draft: MakeDraft
) -> None:
    await bank.add([draft(LOANS[0])], key="a")
    [info] = await memories.banks("library")
    assert info.spaces == (SpaceInfo(1, LOCAL, 512, whole=True, indexed=False),)


async def test_switching_embeds_anew_in_the_background_and_both_are_readable_meanwhile(
    memories: Memories, bank: Bank, draft: MakeDraft, ollama_server: OllamaServer
) -> None:
    await bank.add([draft(text) for text in LOANS], key="a")
    ollama = await connected(ollama_server)
    await memories.switch(ollama)
    # Nothing of the background has run yet: the vectors from before answer, and what is added has both.
    meanwhile = await bank.recall("loan rule 7 of group 7")
    assert (meanwhile.embedder, meanwhile.degraded) == (LOCAL, "")
    await bank.add([draft("Loan rule 99 came during the switch.")], key="b")
    assert (await texts(bank, "rule 99 during the switch"))[0] == "Loan rule 99 came during the switch."
    await memories.settled()
    assert await spaces(memories) == [(OLLAMA, 768, True)]
    afterwards = await bank.recall("loan rule 7 of group 7")
    assert (afterwards.embedder, afterwards.degraded) == (OLLAMA, "")
    assert afterwards.hits[0].memory.text == LOANS[7]


async def test_a_switch_that_is_cut_off_is_finished_by_the_next_process(
    database: Database, memories: Memories, bank: Bank, draft: MakeDraft, ollama_server: OllamaServer
) -> None:
    await bank.add([draft(text) for text in LOANS], key="a")
    async with Memories.open(database, await connected(ollama_server)) as other:
        again = await other.bank("library", "backend_engineering")
        assert (await again.recall("loan")).embedder == LOCAL
        await other.settled()
        assert (await again.recall("loan")).embedder == OLLAMA
    # The first process still works with its own vectors.
    assert (await bank.recall("loan")).embedder == LOCAL


async def test_vectors_that_another_process_dropped_since_the_last_recall_are_not_asked_for_in_vain(
    database: Database, bank: Bank, draft: MakeDraft, ollama_server: OllamaServer
) -> None:
    await bank.add([draft(text) for text in LOANS], key="a")
    assert (await bank.recall("loan rule 7")).embedder == LOCAL
    async with Memories.open(database, LocalEmbedder()) as other:
        await other.bank("library", "backend_engineering")
        await other.switch(await connected(ollama_server))
        await other.settled()
        assert await spaces(other) == [(OLLAMA, 768, True)]
    recall = await bank.recall("loan rule 7")
    assert (recall.embedder, recall.degraded) == (None, f"no vectors of {LOCAL} yet")
    assert recall.hits[0].memory.text == LOANS[7]


async def test_a_switch_to_an_embedder_that_is_down_leaves_the_bank_as_it_is(
    memories: Memories, bank: Bank, draft: MakeDraft
) -> None:
    await bank.add([draft(text) for text in LOANS], key="a")
    with OllamaServer() as server:
        ollama = await connected(server)
    await memories.switch(ollama)
    await memories.settled()
    recall = await bank.recall("loan rule 7 of group 7")
    assert (recall.embedder, recall.hits[0].memory.text) == (LOCAL, LOANS[7])
    assert (LOCAL, 512, True) in await spaces(memories)


async def test_while_the_embedder_is_down_words_are_kept_and_found_and_that_is_said(
    database: Database, draft: MakeDraft
) -> None:
    with OllamaServer() as server:
        ollama = await connected(server)
        port = server.port
    async with Memories.open(database, ollama) as memories:
        bank = await memories.bank("library", "backend_engineering")
        [added] = await bank.add([draft(LOANS[7])], key="a")
        recall = await bank.recall("loan rule 7")
        assert added.outcome == "new"
        assert [hit.memory.text for hit in recall.hits] == [LOANS[7]]
        assert (recall.embedder, recall.hits[0].parts["vector"]) == (None, 0)
        assert recall.degraded
        # Once it is back, what is missing is made up for.
        with OllamaServer(port=port):
            assert await bank.catch_up() == 1
            assert await bank.catch_up() == 0
            recall = await bank.recall("loan rule 7")
            assert (recall.embedder, recall.degraded) == (OLLAMA, "")
        down = await bank.recall("loan rule 7")
        assert [hit.memory.text for hit in down.hits] == [LOANS[7]]
        assert "nomic-embed-text at http://127.0.0.1" in down.degraded


async def test_a_model_replaced_by_one_of_another_dimension_does_not_mix_with_it(
    database: Database, draft: MakeDraft, ollama_server: OllamaServer
) -> None:
    async with Memories.open(database, await connected(ollama_server)) as memories:
        bank = await memories.bank("library", "backend_engineering")
        await bank.add([draft(text) for text in LOANS], key="a")
        ollama_server.embed = lambda asked: {"embeddings": letters(asked, 384)}
        # This process still believes in 768: its vectors are refused, its words are not.
        await bank.add([draft("Loan rule 99 came afterwards.")], key="b")
        assert (await texts(bank, "rule 99"))[0] == "Loan rule 99 came afterwards."
        await memories.switch(await connected(ollama_server))
        await memories.settled()
        assert await spaces(memories) == [(OLLAMA, 384, True)]
        recall = await bank.recall("rule 99 came afterwards")
        assert (recall.embedder, recall.hits[0].memory.text) == (OLLAMA, "Loan rule 99 came afterwards.")


class Lying:
    """Promises 512 numbers of length one, and gives something else."""

    name = "lying"
    dimension = 512

    def __init__(self, how: str) -> None:
        self._honest = LocalEmbedder()
        self._how = how

    def _twisted(self, vector: Vector) -> Vector:
        match self._how:
            case "short":
                return vector[:100]
            case "nan":
                return (math.nan, *vector[1:])
            case "infinite":
                return (-math.inf, *vector[1:])
            case "long":
                return tuple(1e30 * number for number in vector)
            case _:
                return vector

    async def documents(self, texts: Sequence[str]) -> list[Vector]:
        if self._how == "hangs":
            await asyncio.sleep(3600)
        vectors = [self._twisted(vector) for vector in await self._honest.documents(texts)]
        return vectors[:-1] if self._how == "few" else vectors

    async def query(self, text: str) -> Vector:
        if self._how == "hangs":
            await asyncio.sleep(3600)
        return self._twisted(await self._honest.query(text))


@pytest.mark.parametrize("how", ["short", "few", "nan", "infinite", "long", "hangs"])
async def test_vectors_that_are_not_what_was_promised_are_not_stored(
    database: Database, draft: MakeDraft, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "hangs":
        monkeypatch.setattr(embedding, "PATIENCE", 0.2)
    async with Memories.open(database, Lying(how)) as memories:
        bank = await memories.bank("library", "backend_engineering")
        await bank.add([draft(text) for text in LOANS[:3]], key="a")
        recall = await bank.recall("loan rule 2")
        assert len(recall.hits) == 3
        assert recall.degraded
        async with database.pool.connection() as connection:
            row = await (await connection.execute("SELECT count(*) AS n FROM factory.vectors")).fetchone()
        assert row == {"n": 0}


async def test_a_space_that_is_made_beside_an_addition_of_another_process_is_not_called_whole(
    database: Database, bank: Bank, draft: MakeDraft, ollama_server: OllamaServer
) -> None:
    await embedding.space(database, bank.id, LocalEmbedder())
    prepared = [adding.prepare(draft("Loan rule 1."))]
    async with database.pool.connection() as connection:
        async with connection.transaction():
            await adding.add(connection, bank.id, queries.tables(bank.id), prepared, [], "a")
            making = asyncio.create_task(embedding.space(database, bank.id, await connected(ollama_server)))
            await asyncio.wait({making}, timeout=1)
        await making
    assert [space.whole for space in (await embedding.state(database, bank.id)).spaces] == [False, False]


async def test_processes_of_two_embedders_write_one_bank_at_once(
    database: Database, draft: MakeDraft, ollama_server: OllamaServer
) -> None:
    ollama = await connected(ollama_server)
    async with Memories.open(database, LocalEmbedder()) as one, Memories.open(database, ollama) as other:
        banks = [await memories.bank("library", "backend_engineering") for memories in (one, other)]

        async def write(bank: Bank, which: int) -> None:
            for number, text in enumerate(LOANS[:20]):
                mine = text.replace("Loan", f"Loan {which}")
                await bank.add([draft(mine), draft(text)], key=f"{which}/{number}")
                assert (await bank.recall(text)).hits

        await asyncio.gather(write(banks[0], 0), write(banks[1], 1), write(banks[1], 2))
        for memories, bank in zip((one, other), banks, strict=True):
            await memories.settled()
            await bank.catch_up()
            recall = await bank.recall(LOANS[7])
            assert (recall.embedder, recall.degraded) == (memories.embedder.name, "")
            assert "rule 7:" in recall.hits[0].memory.text
        async with database.pool.connection() as connection:
            counted = """SELECT s.embedder, count(*) AS n
                FROM factory.vectors v JOIN factory.spaces s ON s.id = v.space GROUP BY 1 ORDER BY 1"""
            rows = await (await connection.execute(counted)).fetchall()
        assert [(row["embedder"], row["n"]) for row in rows] == [(LOCAL, 80), (OLLAMA, 80)]


@pytest.mark.slow
async def test_nothing_is_lost_while_processes_switch_to_and_fro_beside_writers(
    database: Database, draft: MakeDraft, ollama_server: OllamaServer
) -> None:
    ollama = CachedEmbedder(await connected(ollama_server), database)
    async with (
        Memories.open(database, LocalEmbedder()) as one,
        Memories.open(database, LocalEmbedder()) as other,
    ):
        over = asyncio.Event()
        kept = 0

        async def write(memories: Memories, which: int) -> None:
            nonlocal kept
            bank = await memories.bank("library", "backend_engineering")
            number = 0
            while not over.is_set():
                number += 1
                text = f"Loan {which}.{number} returns to shelf {number}."
                await bank.add([draft(text, subject=f"shelf {number % 5}")], key=f"{which}/{number}")
                kept += 1
                assert (await bank.recall(f"loan shelf {number}")).hits

        async def switch(memories: Memories) -> None:
            for _ in range(60):
                for embedder in (ollama, LocalEmbedder()):
                    await memories.switch(embedder)
                    await asyncio.sleep(0.03)

        writing = [asyncio.create_task(write(*who)) for who in ((one, 1), (one, 2), (other, 3))]
        await asyncio.gather(switch(one), switch(other))
        over.set()
        await asyncio.gather(*writing)
        for memories in (one, other):
            await memories.switch(ollama)
            await memories.settled()
        assert await spaces(one) == [(OLLAMA, 768, True)]
        bank = await one.bank("library", "backend_engineering")
        assert len(await bank.list(past=True)) == kept
        assert await bank.catch_up() == 0


async def test_a_query_that_no_protocol_can_carry_is_answered(
    database: Database, draft: MakeDraft, ollama_server: OllamaServer
) -> None:
    async with Memories.open(database, await connected(ollama_server)) as memories:
        bank = await memories.bank("library", "backend_engineering")
        await bank.add([draft("Loan rule 1.")], key="a")
        recall = await bank.recall("loan \ud800 rule \0")
        assert (recall.hits[0].memory.text, recall.embedder) == ("Loan rule 1.", OLLAMA)


async def test_the_cache_spares_the_model_what_it_embedded_before(
    database: Database, memories: Memories, bank: Bank, draft: MakeDraft, ollama_server: OllamaServer
) -> None:
    ollama = CachedEmbedder(await connected(ollama_server), database)
    await bank.add([draft(text) for text in LOANS], key="a")
    for embedder in (ollama, LocalEmbedder(), ollama):
        await memories.switch(embedder)
        await memories.settled()
    embedded = [
        text for path, body in ollama_server.requests if path == "/api/embed" for text in body["input"]
    ]
    assert sum("Loan rule 7:" in text for text in embedded) == 1
