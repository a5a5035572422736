"""A real Ollama server, with whatever models it has: what our rules assume of it, it does.

Nothing here depends on what a model says, so that models with random weights will do. See docs/ollama.md.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage

from core.database import Database
from core.json import JsonObject
from core.settings import Settings
from models.calls import Reply
from models.catalogue import load
from models.chat import OllamaModel
from models.embeddings.cache import CachedEmbedder
from models.embeddings.ollama import OllamaEmbedder
from models.errors import ContextOverflow, ModelStopped, ModelTooSmall, UnknownModel
from models.service import Models
from tests.models.calling import CODER, a_call, say
from tests.models.conftest import toml
from tests.models.real import URL, RealOllama, needs_ollama

pytestmark = [pytest.mark.ollama, needs_ollama]

WINDOW = 16_384
LIMITS = load().limits
YES_OR_NO: JsonObject = {"enum": ["yes", "no"]}
SHORT: JsonObject = {
    "type": "object",
    "properties": {"answer": YES_OR_NO, "sure": {"type": "boolean"}},
    "required": ["answer", "sure"],
    "additionalProperties": False,
}
LONG: JsonObject = {
    "type": "array",
    "items": {"enum": ["the sea lies grey and still and a pale light comes up behind it"]},
    "minItems": 400,
    "maxItems": 400,
}
"""No model gets through this in a few tokens: `format` forces it on."""
READ_FILE: JsonObject = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Read a file",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    },
}


@pytest.fixture(scope="module")
def real() -> RealOllama:
    return RealOllama.look()


class Opened:
    """Opens models on the real server, closed when the test ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.alive: list[Models] = []

    async def __call__(
        self, *chain: str, db: Database | None = None, limits: dict[str, Any] | None = None, **spec: Any
    ) -> Models:
        how = {"num_ctx": WINDOW, "num_predict": 2048, "keep_alive": "2m", **spec}
        tables: dict[str, Any] = {
            "aliases": {CODER: list(chain)},
            "models": {model: {"capabilities": ["tools", "format"], **how} for model in chain},
            "retry": {"attempts": 1},
            "limits": {"call_seconds": 300, **(limits or {})},
        }
        file = self.folder / "models.toml"
        file.write_text(toml(tables), encoding="utf-8")
        settings = Settings(ollama_url=URL, models_file=file)
        self.alive.append(await Models.open(settings, db))
        return self.alive[-1]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    ready = Opened(tmp_path)
    yield ready
    for models in ready.alive:
        await models.aclose()


@pytest.fixture
def copy(real: RealOllama) -> Iterator[str]:
    """A model under a name of its own, which a test may remove."""
    name = f"factory-test-{uuid4().hex[:8]}:latest"
    real.copy(real.chats()[0], name)
    yield name
    real.delete(name)


async def answers_shortly(models: Models, **how: Any) -> Reply:
    return await say(models, "Is the sea grey?", **{"schema": SHORT, "call": a_call("report"), **how})


async def test_the_canary_finds_that_format_holds_and_the_answer_keeps_to_the_schema(
    real: RealOllama, opened: Opened
) -> None:
    models = await opened(*real.chats())
    reply = await answers_shortly(models)
    assert reply.format_honoured is True
    told = json.loads(reply.text)
    assert (set(told), told["answer"] in ("yes", "no")) == ({"answer", "sure"}, True)
    assert 0 < reply.output_tokens < 100
    assert reply.input_tokens > 0


async def test_the_window_that_was_asked_for_is_the_one_in_ps(real: RealOllama, opened: Opened) -> None:
    (model,) = real.chats()
    models = await opened(model, num_ctx=WINDOW + 2048)
    await answers_shortly(models)
    loaded = real.loaded(model)
    assert loaded is not None
    assert loaded["context_length"] == WINDOW + 2048 == models.context_tokens(CODER)


async def test_a_window_too_small_for_work_is_refused_unsent(real: RealOllama, opened: Opened) -> None:
    models = await opened(*real.chats(), num_ctx=4096)
    with pytest.raises(ModelTooSmall, match="4096"):
        await say(models)
    assert (await answers_shortly(models, call=a_call("plan"))).format_honoured


async def test_tokens_come_one_by_one_and_make_up_the_answer(real: RealOllama, opened: Opened) -> None:
    models = await opened(*real.chats())
    pieces: list[AIMessageChunk] = []
    reply = await answers_shortly(models, heard=pieces.append)
    told = [str(piece.text) for piece in pieces if str(piece.text)]
    assert len(told) > 2
    assert "".join(told) == reply.text


async def test_a_cancelled_call_stops_the_server(real: RealOllama, opened: Opened) -> None:
    (model,) = real.chats()
    models = await opened(model, num_predict=12_000)
    await answers_shortly(models)
    before = real.expires(model)
    begun = asyncio.Event()
    task = asyncio.create_task(say(models, schema=LONG, call=a_call("report"), heard=lambda _: begun.set()))
    async with asyncio.timeout(120):
        await begun.wait()
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(20):
        # Set anew when a request is over; and the next one, which waits for it, is answered at once.
        while real.expires(model) <= before:
            await asyncio.sleep(0.05)
        await answers_shortly(models)
    assert time.monotonic() - started < 20


async def test_an_answer_that_is_cut_for_length_is_no_reply_and_is_counted(
    real: RealOllama, opened: Opened
) -> None:
    models = await opened(*real.chats(), num_predict=64)
    await answers_shortly(models)  # the first call pays for the canary too
    with pytest.raises(ModelStopped, match="for length after 64 tokens") as stopped:
        await say(models, schema=LONG, call=a_call("report"))
    assert stopped.value.raw.lstrip().startswith("[")
    assert stopped.value.output_tokens == 64


async def test_a_prompt_with_more_tokens_than_anybody_thought_is_refused_not_cut(
    real: RealOllama, opened: Opened
) -> None:
    models = await opened(*real.chats())
    # About two characters a token: 15,000 tokens by our count, more than the window by any tokenizer's.
    digits = "".join(f"{n * 7919 % 65_536:04x}" for n in range(13_000))
    for history in ([HumanMessage(digits)], [HumanMessage(digits[:48_000]), HumanMessage(digits[48_000:])]):
        with pytest.raises(ContextOverflow, match=r"exceeds the available context|cut the prompt"):
            await models.complete(CODER, history, call=a_call())
    assert (await answers_shortly(models)).format_honoured


async def test_an_answer_ends_at_the_end_of_the_window_and_says_so(real: RealOllama, opened: Opened) -> None:
    (model,) = real.chats()
    # Far more characters than we count tokens, so that it is the window that ends the answer, and not we.
    models = await opened(
        model, num_ctx=768, num_predict=1024, limits={"least_answer": 64, "bytes_per_token": 1e6}
    )
    await answers_shortly(models, call=a_call("plan"))  # the first call pays for the canary too
    with pytest.raises(ModelStopped, match="for length") as stopped:
        await say(models, "sea " * 150, schema=LONG, call=a_call("plan"))
    assert stopped.value.input_tokens + stopped.value.output_tokens <= 769


async def test_a_model_that_is_not_there_is_named(real: RealOllama, tmp_path: Path) -> None:
    settings = Settings(ollama_url=URL, models_file=None)
    with pytest.raises(UnknownModel, match="factory-none") as unknown:
        await Models.open(settings, None, override="factory-none")
    assert real.chats()[0] in str(unknown.value)


async def test_a_model_removed_in_mid_run_says_how_to_get_it_back(
    real: RealOllama, opened: Opened, copy: str
) -> None:
    models = await opened(copy)
    await answers_shortly(models)
    real.delete(copy)
    with pytest.raises(UnknownModel, match=f"ollama pull {copy}"):
        await answers_shortly(models)


async def test_a_copy_and_a_short_name_are_found_in_ps(real: RealOllama, opened: Opened, copy: str) -> None:
    short = copy.removesuffix(":latest")
    await answers_shortly(await opened(*real.chats(), num_ctx=WINDOW + 4096))
    models = await opened(short, num_ctx=WINDOW + 4096)
    assert (await answers_shortly(models)).model == short
    candidate = models.candidate(CODER)
    assert isinstance(candidate, OllamaModel)
    assert candidate.verified, "its window was found, though it is loaded by its other name"


async def test_several_models_answer_one_after_the_other(real: RealOllama, opened: Opened) -> None:
    first, second = real.chats(2)
    models = await opened(first, second)
    assert models.candidates(CODER) == 2
    for place, model in enumerate((first, second, first)):
        assert (await answers_shortly(models, candidate=place % 2)).model == model


async def test_calls_side_by_side_wait_for_their_turn(real: RealOllama, opened: Opened) -> None:
    models = await opened(*real.chats(), limits={"parallel_calls": 2})
    replies = await asyncio.gather(
        *(answers_shortly(models, call=a_call("report", key=str(n))) for n in range(4))
    )
    assert all(reply.format_honoured for reply in replies)


async def test_a_model_stays_loaded_for_as_long_as_was_asked(real: RealOllama, opened: Opened) -> None:
    (model,) = real.chats()
    await answers_shortly(await opened(model, keep_alive="45m"))
    left = real.expires(model) - datetime.now(UTC)
    assert timedelta(minutes=40) < left < timedelta(minutes=46)


async def test_a_model_that_is_unloaded_after_each_call_answers_all_the_same(
    real: RealOllama, opened: Opened
) -> None:
    models = await opened(*real.chats(), keep_alive="0s")
    for _ in range(2):
        assert (await answers_shortly(models)).format_honoured
    assert models.context_tokens(CODER) == WINDOW


async def test_tools_are_offered_to_a_model_that_can_use_them(real: RealOllama, opened: Opened) -> None:
    able = [model for model in real.chats() if "tools" in real.capabilities(model)]
    if not able:
        pytest.skip("the smallest model has no tools")
    models = await opened(able[0], num_predict=64)
    assert models.native_tools(CODER)
    assert await read_by(models, tools=[READ_FILE]) > await read_by(models)


async def read_by(models: Models, **how: Any) -> int:
    """Tokens of the prompt, whether or not the model came to an end."""
    try:
        return (await say(models, call=a_call("plan"), **how)).input_tokens
    except ModelStopped as stopped:
        return stopped.input_tokens


async def connected(model: str, num_ctx: int = 512) -> OllamaEmbedder:
    return await OllamaEmbedder.connect(URL, model, num_ctx=num_ctx, limits=LIMITS)


async def test_embeddings_come_in_batches_in_order_and_have_one_dimension(real: RealOllama) -> None:
    embedder = await connected(real.embeds())
    texts = [f"text number {n}" for n in range(70)]
    vectors = await embedder.documents(texts)
    assert len(vectors) == 70
    assert {len(vector) for vector in vectors} == {embedder.dimension}
    alone = (await embedder.documents(texts[66:67]))[0]
    assert near(alone, vectors[66]) > 0.999
    assert near(alone, vectors[65]) < 0.9999


async def test_texts_that_are_blank_or_too_long_have_vectors_too(real: RealOllama) -> None:
    embedder = await connected(real.embeds())
    vectors = await embedder.documents(["", " \n", "drill " * 5000, "ü" * 5000, "字" * 3000])
    assert len(vectors) == 5


async def test_a_query_is_told_from_a_document_by_its_prefix(real: RealOllama) -> None:
    model = real.embeds()
    name = f"nomic-embed-text:factory-test-{uuid4().hex[:8]}"
    real.copy(model, name)
    try:
        embedder = await connected(name)
        assert near(await embedder.query("drill"), (await embedder.documents(["drill"]))[0]) < 0.9999
    finally:
        real.delete(name)


async def test_a_text_is_sent_once(real: RealOllama, database: Database) -> None:
    model = real.embeds()
    embedder = await connected(model)
    cached = CachedEmbedder(embedder, database)
    first = await cached.documents(["drill", "saw"])
    before = real.expires(model)
    again = await cached.documents(["saw", "drill"])
    assert [near(*pair) > 1 - 1e-6 for pair in zip(again, reversed(first), strict=True)] == [True, True]
    assert real.expires(model) == before, "the server was not asked"


async def test_local_embed_is_the_servers_where_it_has_the_model(
    real: RealOllama, database: Database, tmp_path: Path
) -> None:
    model = real.embeds()
    file = tmp_path / "models.toml"
    spec = {model: {"num_ctx": 512, "capabilities": ["embed"]}}
    file.write_text(toml({"aliases": {"local/embed": [model]}, "models": spec}), encoding="utf-8")
    async with await Models.open(Settings(ollama_url=URL, models_file=file), database) as models:
        embedder = await models.embedder()
        assert embedder.name == f"ollama/{model}"
        assert len(await embedder.query("drill")) == embedder.dimension > 0


def near(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
