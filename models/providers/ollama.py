"""An Ollama server as an account of a pool: the same rules as for the one at FACTORY_OLLAMA_URL."""

import asyncio
from typing import TYPE_CHECKING

import httpx
from langchain_core.messages import BaseMessage

from core.json import JsonObject
from models.answer import Answer, Heard
from models.catalogue import Catalogue
from models.routing.deployment import Request
from models.server import OllamaServer

if TYPE_CHECKING:
    from models.chat import OllamaModel


class OllamaEndpoint:
    """One model of one Ollama server."""

    def __init__(self, server: OllamaServer, model: str, catalogue: Catalogue) -> None:
        self._server = server
        self._name = model
        self._catalogue = catalogue
        self._model: OllamaModel | None = None
        self._opening = asyncio.Lock()

    async def exchange(
        self, messages: list[BaseMessage], request: Request, said: Answer, heard: Heard | None
    ) -> bool | None:
        """One exchange, tried once. Raises what breaks it as it is; the pool judges."""
        model = await self._open()
        tools: tuple[JsonObject, ...] = request.tools
        _, honoured = await model.ask(
            messages, kind=request.kind, schema=request.schema, tools=tools, heard=heard, said=said
        )
        return honoured

    async def _open(self) -> "OllamaModel":
        async with self._opening:
            if self._model is None:
                # Late: the client takes more than a second to import.
                from models.chat import OllamaModel  # noqa: PLC0415

                if not await self._server.answers():
                    raise httpx.ConnectError(f"no Ollama answers at {self._server.name}")
                shown = await self._server.show(self._name)
                self._model = OllamaModel(self._server, self._name, self._catalogue, shown, pooled=True)
            return self._model
