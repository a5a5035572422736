"""What the tests of the pools share: played servers of OpenAI's protocol, and a models file for them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from models.service import Models
from tests.doubles.fixtures import ollama_server
from tests.doubles.ollama_server import OllamaServer
from tests.doubles.openai_server import OpenAIServer
from tests.models.conftest import QUICK, toml

__all__ = ["ollama_server"]

MODEL = "gpt-double"
KEY = "sk-double-0123456789abcdef-{}"
PRICED = {
    "num_ctx": 65_536,
    "capabilities": ["tools", "format"],
    "input_price": 1000,
    "output_price": 2000,
}
TABLES: dict[str, dict[str, Any]] = {
    **QUICK,
    "routing": {"first_open_seconds": 0.001, "longest_open_seconds": 0.01},
    "models": {MODEL: PRICED, "gpt-double-mini": {**PRICED, "input_price": 10, "output_price": 20}},
    "aliases": {"factory/coder": ["pool:cloud"]},
}

OpenCloud = Callable[..., Awaitable[Models]]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """One server; every key is valid until a test says otherwise."""
    with OpenAIServer() as running:
        yield running


@pytest.fixture
async def cloud(
    server: OpenAIServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[OpenCloud]:
    """Opens models on accounts of played servers.

    `await cloud(accounts=3, account={…}, db=…, guard=…, ollama=…, routing={…})`: `accounts` is a number of
    accounts of `server`, or whole tables; `account` goes over each; others are tables of the file.
    """
    alive: list[Models] = []

    async def opened(
        *,
        accounts: int | dict[str, dict[str, Any]] = 1,
        account: dict[str, Any] | None = None,
        db: Any = None,
        guard: Any = None,
        override: str | None = None,
        ollama: OllamaServer | None = None,
        **tables: dict[str, Any],
    ) -> Models:
        listed = accounts if isinstance(accounts, dict) else {f"a{n}": {} for n in range(accounts)}
        for number, name in enumerate(listed):
            monkeypatch.setenv(f"KEY_{name.upper()}", KEY.format(number))
        basic = {"provider": "openai", "base_url": server.url, "models": [MODEL]}
        entries = {
            name: {**basic, "key_env": f"KEY_{name.upper()}", **(account or {}), **more}
            for name, more in listed.items()
        }
        for entry in entries.values():
            if "key_file" in entry or "keys_file" in entry:
                del entry["key_env"]
        merged = {name: {**TABLES.get(name, {}), **tables.get(name, {})} for name in {*TABLES, *tables}}
        merged |= {"accounts": entries, "pools": {"cloud": {"accounts": ["*"]}, **tables.get("pools", {})}}
        file = tmp_path / "models.toml"
        file.write_text(toml(merged), encoding="utf-8")
        url = ollama.url if ollama else "http://127.0.0.1:1"
        settings = Settings(ollama_url=url, models_file=file)
        alive.append(await Models.open(settings, db, override=override, guard=guard))
        return alive[-1]

    yield opened
    for models in alive:
        await models.aclose()
