"""Texts as vectors: without a model, from Ollama's wire protocol, and from what was computed before."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from core.database import Database
from core.settings import Settings
from models.catalogue import load
from models.embeddings.base import Embedder, EmbeddingFailed, Vector
from models.embeddings.cache import CachedEmbedder
from models.embeddings.local import LocalEmbedder
from models.embeddings.ollama import OllamaEmbedder
from models.service import Models
from tests.doubles.ollama_server import OllamaServer, letters
from tests.models.conftest import Open

LIMITS = load().limits
GOLDEN = [(55, 0.207402), (188, -0.245402), (365, -0.262345)]


def near(a: Vector, b: Vector) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


@pytest_asyncio.fixture
async def ollama(ollama_server: OllamaServer) -> OllamaEmbedder:
    return await connected(ollama_server)


async def connected(server: OllamaServer, num_ctx: int = 2048) -> OllamaEmbedder:
    return await OllamaEmbedder.connect(server.url, "nomic-embed-text", num_ctx=num_ctx, limits=LIMITS)


def asked(server: OllamaServer) -> list[list[str]]:
    return [body["input"] for path, body in server.requests if path == "/api/embed"]


async def test_without_a_model_the_same_text_is_always_the_same_vector() -> None:
    vector = await LocalEmbedder().query("Reserve a drill for Saturday")
    # Written down once: a bank that was filled on another machine, or last year, must still be readable.
    assert [(n, round(x, 6)) for n, x in enumerate(vector) if abs(x) > 0.2] == GOLDEN
    assert math.isclose(near(vector, vector), 1.0)


@pytest.mark.parametrize(
    ("text", "like", "other"),
    [
        ("somebody booked a tool", "bookings of tools", "members of the club"),
        ("she booked the tool", "he bookd a tool", "he paid the bill"),
        ("gereedschap uitlenen", "het gereedschap is uitgeleend", "de leden betalen contributie"),
        ("จองเครื่องมือ", "การจองเครื่องมือ", "สมาชิกชมรม"),
    ],
)
async def test_without_a_model_other_forms_of_the_same_words_are_near(
    text: str, like: str, other: str
) -> None:
    looked_for, near_it, far = [await LocalEmbedder().query(each) for each in (text, like, other)]
    assert near(looked_for, near_it) > near(looked_for, far) + 0.1


@pytest.mark.parametrize("text", ["", "   ", "…!?", "the of and", "🛠️"])
async def test_a_text_without_words_is_zeros_and_no_error(text: str) -> None:
    assert set(await LocalEmbedder().query(text)) == {0.0}


async def test_a_megabyte_counts_by_its_beginning() -> None:
    words = "drill " * 200_000
    embedder = LocalEmbedder()
    assert await embedder.query(words) == await embedder.query("drill " * 20_000)


async def test_ollama_is_asked_in_batches_and_as_its_model_was_trained(
    ollama_server: OllamaServer, ollama: OllamaEmbedder
) -> None:
    vectors = await ollama.documents([f"text {n}" for n in range(130)])
    assert (ollama.name, ollama.dimension) == ("ollama/nomic-embed-text", 768)
    assert len(vectors) == 130
    assert {len(vector) for vector in vectors} == {768}
    assert math.isclose(near(vectors[0], vectors[0]), 1.0)
    assert [len(texts) for texts in asked(ollama_server)[1:]] == [64, 64, 2]
    await ollama.query("text 1")
    assert asked(ollama_server)[1][0] == "search_document: text 0"
    assert asked(ollama_server)[-1] == ["search_query: text 1"]


async def test_what_the_server_would_cut_is_cut_by_us(ollama_server: OllamaServer) -> None:
    embedder = await connected(ollama_server, num_ctx=512)
    await embedder.documents(["ü" * 100_000, ""])
    long, blank = asked(ollama_server)[-1]
    assert len(long.removeprefix("search_document: ").encode()) == 512 * LIMITS.bytes_per_token
    assert blank == "search_document: -"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda _: {"embeddings": []}, "0 vectors came back for 1 texts"),
        (lambda texts: {"embeddings": letters(texts, 12)}, "12 numbers in place of 768"),
        (lambda _: {"embeddings": [["one"] * 768]}, "no embedding"),
        (lambda _: {"embeddings": "none"}, "no embedding"),
        (lambda _: {"error": "out of memory"}, "no embedding"),
        (lambda _: {"embeddings": [[float("nan")] * 768]}, "no number"),
        (lambda _: {"embeddings": [[1.7e308] * 768]}, "too large"),
        (lambda _: {"embeddings": [[10**400] * 768]}, "no embedding"),
        (lambda _: {"embeddings": [[None] * 768]}, "no embedding"),
        (lambda _: {"embeddings": [[[0.5]] * 768]}, "no embedding"),
        (lambda _: {"embeddings": {"0": [0.5]}}, "no embedding"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_refused_by_its_reason(
    answer: Callable[[list[str]], dict[str, Any]],
    says: str,
    ollama_server: OllamaServer,
    ollama: OllamaEmbedder,
) -> None:
    ollama_server.embed = answer
    with pytest.raises(EmbeddingFailed, match=says) as failed:
        await ollama.query("drill")
    assert "ollama pull nomic-embed-text" in str(failed.value.todo)


async def test_a_server_that_is_gone_is_told() -> None:
    with OllamaServer() as server:
        ollama = await connected(server)
    with pytest.raises(EmbeddingFailed, match=r"nomic-embed-text at http://127\.0\.0\.1"):
        await ollama.documents(["drill"])


async def test_a_model_that_is_not_there_is_told(ollama_server: OllamaServer) -> None:
    del ollama_server.models["nomic-embed-text:latest"]
    with pytest.raises(EmbeddingFailed, match="not found"):
        await connected(ollama_server)


@pytest_asyncio.fixture
async def cached(ollama: OllamaEmbedder, database: Database) -> AsyncIterator[Embedder]:
    yield CachedEmbedder(ollama, database)


async def test_a_text_is_sent_to_a_model_once(
    ollama_server: OllamaServer, ollama: OllamaEmbedder, cached: CachedEmbedder
) -> None:
    first = await cached.documents(["drill", "saw", "drill"])
    again = await cached.documents(["saw", "drill", "rake"])
    assert [len(texts) for texts in asked(ollama_server)[1:]] == [2, 1]
    assert first[0] == first[2]
    assert near(again[1], first[0]) > 1 - 1e-6
    assert near(again[0], (await ollama.documents(["saw"]))[0]) > 1 - 1e-6
    assert (cached.name, cached.dimension) == (ollama.name, 768)


async def test_a_forgotten_text_leaves_no_vector(
    ollama_server: OllamaServer, cached: CachedEmbedder, database: Database
) -> None:
    await cached.documents(["her address", "drill"])
    await cached.forget(["her address"])
    async with database.pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) AS kept FROM embeddings")
        assert (await cursor.fetchone() or {})["kept"] == 1


async def test_vectors_of_a_model_that_was_replaced_are_not_used(
    ollama_server: OllamaServer, cached: CachedEmbedder, database: Database
) -> None:
    await cached.documents(["drill"])
    ollama_server.embed = lambda texts: {"embeddings": letters(texts, 384)}
    other = CachedEmbedder(await connected(ollama_server), database)
    assert len((await other.documents(["drill"]))[0]) == 384


async def test_the_embedder_is_ollamas_where_it_answers(opened: Open, database: Database) -> None:
    models = await opened(db=database)
    embedder = await models.embedder()
    assert (embedder.name, embedder.dimension) == ("ollama/nomic-embed-text", 768)
    assert isinstance(embedder, CachedEmbedder)


async def test_without_ollama_the_embedder_needs_no_model(settings: Settings) -> None:
    async with await Models.open(settings, None, override="offline") as models:
        assert (await models.embedder()).name == "local/hash-512-v1"


async def test_a_model_that_gives_no_vectors_is_passed_over_and_that_is_told(
    opened: Open, ollama_server: OllamaServer, caplog: pytest.LogCaptureFixture
) -> None:
    ollama_server.embed = lambda _: {"embeddings": []}
    models = await opened()
    assert (await models.embedder()).name == "local/hash-512-v1"
    told = caplog.text
    assert "0 vectors came back" in told
    assert "embeddings.chosen" in told


async def test_a_model_of_longer_vectors_than_can_be_searched_is_passed_over(
    opened: Open, ollama_server: OllamaServer, caplog: pytest.LogCaptureFixture
) -> None:
    ollama_server.embed = lambda texts: {"embeddings": letters(texts, 4096)}
    models = await opened()
    assert (await models.embedder()).name == "local/hash-512-v1"
    assert "vectors of 4096 numbers, and the most is 4000" in caplog.text


async def test_what_must_stay_here_is_not_sent_to_a_model_elsewhere(
    opened: Open, ollama_server: OllamaServer
) -> None:
    models = await opened()
    assert models.chains.server is not None
    models.chains.server.url = "http://gpu.example:11434"
    before = len(ollama_server.requests)
    embedder = await models.view(project="shop", local_only=True).embedder()
    assert embedder.name == "local/hash-512-v1"
    assert len(ollama_server.requests) == before
