"""A real Ollama server: where it is, what it has, and what it says of itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

URL = os.environ.get("FACTORY_TEST_OLLAMA_URL", "")

needs_ollama = pytest.mark.skipif(
    not URL, reason="FACTORY_TEST_OLLAMA_URL is not set, so there is no real Ollama to try (docs/ollama.md)"
)


@dataclass(frozen=True)
class RealOllama:
    """The server at FACTORY_TEST_OLLAMA_URL; nothing of it is changed but a copy that a test makes."""

    url: str
    version: str
    chat: tuple[str, ...]
    """Its models that answer, the smallest first."""
    embed: tuple[str, ...]
    """Its models that give vectors."""

    @classmethod
    def look(cls) -> RealOllama:
        version = str(_get("/api/version")["version"])
        listed = sorted(_get("/api/tags")["models"], key=lambda model: (model["size"], model["name"]))
        can = {
            model["name"]: set(_post("/api/show", model=model["name"])["capabilities"]) for model in listed
        }
        only = {name for name in os.environ.get("FACTORY_TEST_OLLAMA_MODELS", "").split(",") if name}
        names = [name for name in can if not only or name in only]
        return cls(
            URL,
            version,
            tuple(name for name in names if "completion" in can[name]),
            tuple(name for name in names if "embedding" in can[name]),
        )

    def chats(self, count: int = 1) -> tuple[str, ...]:
        """The first models that answer; skips the test where there are fewer."""
        if len(self.chat) < count:
            pytest.skip(f"Ollama at {self.url} has {len(self.chat)} models that answer, this needs {count}")
        return self.chat[:count]

    def embeds(self) -> str:
        if not self.embed:
            pytest.skip(f"Ollama at {self.url} has no model for embeddings")
        return self.embed[0]

    def capabilities(self, model: str) -> set[str]:
        return set(_post("/api/show", model=model)["capabilities"])

    def loaded(self, model: str) -> dict[str, Any] | None:
        """What `/api/ps` says of a model, whichever of its names it was loaded by."""
        digest = {entry["name"]: entry["digest"] for entry in _get("/api/tags")["models"]}[model]
        return next((entry for entry in _get("/api/ps")["models"] if entry["digest"] == digest), None)

    def expires(self, model: str) -> datetime:
        """When a model is unloaded, as told at the end of its last request."""
        loaded = self.loaded(model)
        assert loaded is not None
        return datetime.fromisoformat(loaded["expires_at"]).astimezone(UTC)

    def copy(self, model: str, name: str) -> None:
        _post("/api/copy", source=model, destination=name)

    def delete(self, name: str) -> None:
        httpx.request("DELETE", f"{self.url}/api/delete", json={"model": name}, timeout=60)


def _get(path: str) -> dict[str, Any]:
    return httpx.get(f"{URL}{path}", timeout=60).raise_for_status().json()


def _post(path: str, **body: Any) -> dict[str, Any]:
    response = httpx.post(f"{URL}{path}", json=body, timeout=60).raise_for_status()
    return response.json() if response.content else {}
