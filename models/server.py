"""What an Ollama server says about itself: is it there, which models has it, how large is a window really."""

import asyncio
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from core.redaction import redact
from models.catalogue import Limits
from models.errors import ModelUnavailable


@dataclass(frozen=True, slots=True)
class Shown:
    """What `/api/show` tells about a model; None where it tells nothing."""

    capabilities: frozenset[str] | None
    context_length: int | None
    """Tokens the model was trained for."""


def full_name(model: str) -> str:
    """A model's name as Ollama lists it: `qwen3` is `qwen3:latest`."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def http_options(url: str, limits: Limits) -> dict[str, Any]:
    """How we talk to a server, also for the client that LangChain makes.

    No connection is kept: LangChain gives no way to close its pool, and one more connect to a local server
    is nothing beside a model's answer. A loopback address never goes through a proxy.
    """
    parts = urlsplit(url)
    return {
        "timeout": httpx.Timeout(limits.silence_seconds, connect=limits.connect_seconds),
        "limits": httpx.Limits(max_keepalive_connections=0),
        "trust_env": parts.hostname not in {"localhost", "127.0.0.1", "::1"},
        "verify": parts.scheme == "https",  # reading the certificates takes longer than all the rest
    }


class OllamaServer:
    """The small questions to one Ollama server."""

    def __init__(self, url: str, limits: Limits) -> None:
        self.url = url if "://" in url else f"http://{url}"
        self._limits = limits
        self.turn = asyncio.Semaphore(limits.parallel_calls)
        """Held while a model answers, so that its silence is never the wait for another call's end."""
        self._http = httpx.AsyncClient(base_url=self.url, **http_options(self.url, limits))

    async def aclose(self) -> None:
        await self._http.aclose()

    @property
    def name(self) -> str:
        """The address as it may be shown."""
        return redact(self.url)

    async def answers(self) -> bool:
        """Whether an Ollama is there, asked for no longer than `probe_seconds`."""
        try:
            async with asyncio.timeout(self._limits.probe_seconds):
                return "version" in await self._get("/api/version")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError):
            return False

    async def installed(self) -> tuple[str, ...]:
        """Names of the models it has. Raises ModelUnavailable."""
        try:
            async with asyncio.timeout(self._limits.connect_seconds * 2):
                listing = await self._get("/api/tags")
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            raise ModelUnavailable(
                f"Ollama at {self.name} does not list its models: {redact(str(error)) or 'it is silent'}",
                todo="Look at Ollama's log, or use --model offline",
            ) from None
        return tuple(sorted(str(model["name"]) for model in _models(listing) if "name" in model))

    async def show(self, model: str) -> Shown:
        """What it knows of a model; nothing where it does not answer, as old servers do not."""
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                response = await self._http.post("/api/show", json={"model": model})
                response.raise_for_status()
                told = _object(response.json())
        except (httpx.HTTPError, TimeoutError, ValueError):
            return Shown(None, None)
        capabilities = told.get("capabilities")
        info = _object(told.get("model_info"))
        length = info.get(f"{info.get('general.architecture')}.context_length")
        return Shown(
            frozenset(str(name) for name in cast("list[object]", capabilities))
            if isinstance(capabilities, list)
            else None,
            length if isinstance(length, int) else None,
        )

    async def window(self, model: str) -> int | None:
        """Tokens of the window with which a model is loaded now; None where it does not say."""
        name = full_name(model)
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                loaded = _models(await self._get("/api/ps"))
                found = next((one for one in loaded if name in (one.get("name"), one.get("model"))), None)
                if found is None and loaded:
                    # A model with two names is loaded once, and listed by the name that was asked for first.
                    digest = _digest(name, _models(await self._get("/api/tags")))
                    found = next((one for one in loaded if digest and one.get("digest") == digest), None)
        except (httpx.HTTPError, TimeoutError, ValueError):
            return None
        length = None if found is None else found.get("context_length")
        return length if isinstance(length, int) and length > 0 else None

    async def _get(self, path: str) -> dict[str, object]:
        response = await self._http.get(path)
        response.raise_for_status()
        return _object(response.json())


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _models(listing: dict[str, object]) -> list[dict[str, object]]:
    models = listing.get("models")
    return [_object(model) for model in cast("list[object]", models)] if isinstance(models, list) else []


def _digest(name: str, models: list[dict[str, object]]) -> object:
    return next((model.get("digest") for model in models if model.get("name") == name), None)
