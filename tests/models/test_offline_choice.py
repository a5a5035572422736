"""Which model is chosen when nobody chooses, and what that says."""

import pytest

from core.settings import Settings
from models.errors import ModelUnavailable, UnknownAlias
from models.service import ANNOUNCEMENT, Models

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens


async def test_without_ollama_the_offline_model_answers_and_says_so() -> None:
    async with await Models.open(Settings(ollama_url=NOBODY, model=None), None) as models:
        assert models.announcement == ANNOUNCEMENT == "offline model: scripted output"
        assert set(models.aliases().values()) == {("offline",)}
        assert models.candidates("factory/coder") == 1
        assert not models.native_tools("factory/coder")
        assert models.context_tokens("factory/coder") >= 16_384


async def test_offline_by_setting_asks_no_server() -> None:
    settings = Settings(ollama_url="http://nobody.invalid", model="offline")
    async with await Models.open(settings, None) as models:
        assert models.announcement == ANNOUNCEMENT


async def test_a_named_model_without_ollama_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match=r"No Ollama answers .*ollama serve"):
        await Models.open(Settings(ollama_url=NOBODY), None, override="qwen3.5:9b")


async def test_an_unknown_alias_names_the_known_ones() -> None:
    async with await Models.open(Settings(), None, override="offline") as models:
        with pytest.raises(UnknownAlias, match=r"factory/architect, factory/cheap"):
            models.candidates("factory/wizard")
