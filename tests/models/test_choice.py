"""Which models of the catalogue are used, against what Ollama has."""

import pytest

from core.settings import Settings
from models.errors import UnknownAlias, UnknownModel
from models.service import Models
from tests.doubles.ollama_server import OllamaServer
from tests.models.calling import CODER, say
from tests.models.conftest import Open


async def test_where_ollama_answers_nothing_is_announced(ollama_server: OllamaServer) -> None:
    async with await Models.open(Settings(ollama_url=ollama_server.url), None) as models:
        assert models.announcement is None
        assert models.aliases() == {
            "factory/architect": ("qwen3.5:9b",),
            "factory/coder": ("qwen3-coder:30b", "qwen3.5:9b"),
            "factory/fast": ("qwen3.5:9b", "qwen3-coder:30b"),
            "factory/cheap": ("qwen3.5:4b", "qwen3.5:9b"),
            "local/embed": ("nomic-embed-text",),
        }


async def test_a_candidate_is_a_place_in_the_chain(ollama_server: OllamaServer, opened: Open) -> None:
    models = await opened()
    assert models.candidates(CODER) == 2
    assert [(await say(models, candidate=n)).model for n in range(2)] == ["qwen3-coder:30b", "qwen3.5:9b"]
    with pytest.raises(UnknownModel, match="no candidate 2"):
        await say(models, candidate=2)


async def test_a_named_model_stands_behind_every_alias(ollama_server: OllamaServer, opened: Open) -> None:
    models = await opened(override="llama-old")
    chat = {alias: chain for alias, chain in models.aliases().items() if alias != "local/embed"}
    assert set(chat.values()) == {("llama-old",)}
    assert (await say(models)).model == "llama-old"


async def test_a_named_model_that_is_not_there_lists_those_that_are(opened: Open) -> None:
    with pytest.raises(UnknownModel, match=r"no model 'gpt-9'.*qwen3\.5:9b.*ollama pull gpt-9"):
        await opened(override="gpt-9")


async def test_a_missing_chain_is_an_error_only_when_used(ollama_server: OllamaServer, opened: Open) -> None:
    ollama_server.models = {"qwen3.5:4b": ["completion", "tools"]}
    models = await opened()
    assert (await say(models, alias="factory/cheap")).text == "Good morning."
    assert models.aliases()[CODER] == ()
    with pytest.raises(UnknownModel, match=r"It has qwen3\.5:4b.*ollama pull qwen3-coder:30b"):
        await say(models)


async def test_the_embedding_alias_does_not_chat(opened: Open) -> None:
    models = await opened()
    with pytest.raises(UnknownAlias, match="embeddings"):
        await say(models, alias="local/embed")
