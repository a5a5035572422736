"""What the tests of the models share: a played Ollama, a catalogue with short waits."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from models.service import Models
from tests.doubles.fixtures import ollama_server
from tests.doubles.ollama_server import OllamaServer

__all__ = ["ollama_server"]

QUICK: dict[str, dict[str, Any]] = {
    "retry": {"attempts": 3, "first_seconds": 0.001, "longest_seconds": 0.002},
    "limits": {"probe_seconds": 10, "silence_seconds": 10, "call_seconds": 20},
}

Open = Callable[..., Awaitable[Models]]


def toml(tables: dict[str, dict[str, Any]]) -> str:
    """Tables of plain values as TOML; JSON writes strings, numbers and lists as TOML does."""
    text = ""
    for table, entries in tables.items():
        plain = {name: value for name, value in entries.items() if not isinstance(value, dict)}
        text += f"[{table}]\n" + "".join(
            f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in plain.items()
        )
        nested = {
            f"{table}.{json.dumps(name)}": value for name, value in entries.items() if name not in plain
        }
        text += toml(nested)
    return text


@pytest.fixture
async def opened(ollama_server: OllamaServer, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens models on the played Ollama, closed when the test ends.

    `await opened(limits={…}, models={…}, override=…, db=…)`: keywords are tables of the models file.
    """
    alive: list[Models] = []

    async def open_models(*, override: str | None = None, db: Any = None, **tables: dict[str, Any]) -> Models:
        file = tmp_path / "models.toml"
        merged = {name: {**QUICK.get(name, {}), **tables.get(name, {})} for name in {*QUICK, *tables}}
        file.write_text(toml(merged), encoding="utf-8")
        settings = Settings(ollama_url=ollama_server.url, models_file=file)
        alive.append(await Models.open(settings, db, override=override))
        return alive[-1]

    yield open_models
    for models in alive:
        await models.aclose()
