"""Which model answers: aliases in, replies out, every call in the ledger."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import BaseTool

from core import clock
from core.database import Database
from core.errors import FactoryError
from core.json import JsonObject
from core.settings import Settings
from models import ledger
from models.calls import Call, Reply
from models.catalogue import EMBED_ALIAS, Catalogue, load
from models.errors import ModelStopped, ModelUnavailable, UnknownAlias, UnknownModel
from models.server import OllamaServer, full_name
from models.window import estimate

if TYPE_CHECKING:
    from models.chat import OllamaModel

OFFLINE = "offline"
ANNOUNCEMENT = "offline model: scripted output"
_OFFLINE_WINDOW = 131_072  # tokens; the script reads as much as it is given


class Models:
    """The models of one process: opened once, used by every run in it."""

    announcement: str | None
    """What every surface shows while the offline model answers."""

    def __init__(
        self,
        catalogue: Catalogue,
        db: Database | None,
        *,
        server: OllamaServer | None = None,
        chains: Mapping[str, tuple["OllamaModel", ...]] | None = None,
        installed: Sequence[str] = (),
    ) -> None:
        self._catalogue = catalogue
        self._db = db
        self._server = server
        self._chains = chains or {}
        self._installed = tuple(installed)
        self._offline: BaseChatModel | None = None
        self.announcement = ANNOUNCEMENT if server is None else None

    @classmethod
    async def open(cls, settings: Settings, db: Database | None, *, override: str | None = None) -> "Models":
        """The models that `settings` and Ollama have between them.

        `override` (else `settings.model`) puts one model behind every alias; `offline` is the scripted one,
        which also answers where nothing was chosen and no Ollama is there. Without `db` nothing is
        recorded. Raises CatalogueInvalid, UnknownModel (override), ModelUnavailable.
        """
        catalogue = await asyncio.to_thread(load, settings.models_file)
        wanted = override or settings.model
        if wanted == OFFLINE:
            return cls(catalogue, db)
        server = OllamaServer(settings.ollama_url, catalogue.limits)
        try:
            if not await server.answers():
                await server.aclose()
                if wanted is None:
                    return cls(catalogue, db)
                raise ModelUnavailable(
                    f"No Ollama answers at {server.name}, so that {wanted!r} cannot be used",
                    untouched="Nothing was started",
                    todo="Start it with `ollama serve`, set FACTORY_OLLAMA_URL, or use --model offline",
                )
            installed = await server.installed()
            names = _names(catalogue, installed, wanted)
            models = await _describe(server, catalogue, {name for chain in names.values() for name in chain})
        except BaseException:
            await server.aclose()
            raise
        chains = {alias: tuple(models[name] for name in chain) for alias, chain in names.items()}
        return cls(catalogue, db, server=server, chains=chains, installed=installed)

    async def aclose(self) -> None:
        if self._server is not None:
            await self._server.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def aliases(self) -> Mapping[str, tuple[str, ...]]:
        """The models behind each alias, in the order they are asked; empty where Ollama has none."""
        if self._server is None:
            return dict.fromkeys(self._catalogue.aliases, (OFFLINE,))
        return {alias: tuple(model.name for model in chain) for alias, chain in self._chains.items()}

    def candidates(self, alias: str) -> int:
        """How many models can be asked for an alias. Raises UnknownAlias, and UnknownModel for none."""
        return 1 if self._is_offline(alias) else len(self._chain(alias))

    def native_tools(self, alias: str, candidate: int = 0) -> bool:
        """True: send tool specs and ToolMessages. False: fenced blocks, history as text."""
        return not self._is_offline(alias) and self._model(alias, candidate).tools

    def context_tokens(self, alias: str, candidate: int = 0) -> int:
        """Tokens of the model's window, prompt and answer together."""
        return _OFFLINE_WINDOW if self._is_offline(alias) else self._model(alias, candidate).window

    async def complete(
        self,
        alias: str,
        messages: Sequence[BaseMessage],
        *,
        call: Call,
        schema: JsonObject | None = None,
        tools: Sequence[BaseTool] = (),
        candidate: int = 0,
    ) -> Reply:
        """One reply of one candidate, with transient retries, and its row in the ledger, failed or not.

        With a schema no tools are sent. Raises ModelUnavailable, ModelStopped, ContextOverflow,
        ModelTooSmall, UnknownModel, UnknownAlias, ModelScriptEnded. A cancelled call closes its request and
        leaves no row.
        """
        model = None if self._is_offline(alias) else self._model(alias, candidate)
        provider, name = (OFFLINE, OFFLINE) if model is None else ("ollama", model.name)
        started = clock.monotonic()
        try:
            if model is None:
                reply = await self._recite(alias, messages)
            else:
                reply = await self._ask(model, alias, messages, call, schema, tools)
        except FactoryError as error:
            if self._db is not None:
                spent = (
                    (error.input_tokens, error.output_tokens) if isinstance(error, ModelStopped) else (0, 0)
                )
                await ledger.record(
                    self._db,
                    call,
                    alias=alias,
                    provider=provider,
                    model=name,
                    status="error",
                    input_tokens=spent[0],
                    output_tokens=spent[1],
                    cost_usd=model.spec.cost(*spent) if model is not None else Decimal(0),
                    seconds=clock.monotonic() - started,
                    error=f"{error.code}: {error}",
                )
            raise
        if self._db is not None:
            await ledger.record(
                self._db,
                call,
                alias=alias,
                provider=provider,
                model=name,
                status="ok",
                input_tokens=reply.input_tokens,
                output_tokens=reply.output_tokens,
                cost_usd=reply.cost_usd,
                seconds=reply.seconds,
            )
        return reply

    async def _ask(
        self,
        model: "OllamaModel",
        alias: str,
        messages: Sequence[BaseMessage],
        call: Call,
        schema: JsonObject | None,
        tools: Sequence[BaseTool],
    ) -> Reply:
        started = clock.monotonic()
        answer, honoured = await model.ask(messages, kind=call.kind, schema=schema, tools=tools)
        # An old server does not count a prompt that it had in its cache.
        input_tokens = answer.input_tokens or estimate(messages, (), self._catalogue.limits)
        return Reply(
            message=answer.message,
            alias=alias,
            provider="ollama",
            model=model.name,
            input_tokens=input_tokens,
            output_tokens=answer.output_tokens,
            cost_usd=model.spec.cost(input_tokens, answer.output_tokens),
            seconds=clock.monotonic() - started,
            thinking=answer.thinking,
            format_honoured=honoured,
        )

    async def _recite(self, alias: str, messages: Sequence[BaseMessage]) -> Reply:
        if self._offline is None:
            # Late, so that a run on a real model never loads the script.
            script = cast("type[BaseChatModel]", import_module("models.offline").OfflineModel)
            self._offline = script()
        started = clock.monotonic()
        message = await self._offline.ainvoke(list(messages))
        limits = self._catalogue.limits
        usage = message.usage_metadata
        return Reply(
            message=AIMessage(content=str(message.text), tool_calls=message.tool_calls),
            alias=alias,
            provider=OFFLINE,
            model=OFFLINE,
            input_tokens=usage["input_tokens"] if usage else estimate(messages, (), limits),
            output_tokens=usage["output_tokens"] if usage else estimate([message], (), limits),
            cost_usd=Decimal(0),
            seconds=clock.monotonic() - started,
        )

    def _is_offline(self, alias: str) -> bool:
        self._catalogue.chain(alias)  # raises UnknownAlias
        return self._server is None

    def _chain(self, alias: str) -> tuple["OllamaModel", ...]:
        chain = self._chains[alias]
        if not chain:
            wanted = self._catalogue.chain(alias)
            raise UnknownModel(
                f"Ollama has none of {', '.join(wanted)}, which stand behind {alias}. "
                f"{_has(self._installed)}",
                untouched="Nothing was asked",
                todo=f"ollama pull {wanted[0]}, or choose with --model or the models file",
            )
        return chain

    def _model(self, alias: str, candidate: int) -> "OllamaModel":
        chain = self._chain(alias)
        if not 0 <= candidate < len(chain):
            raise UnknownModel(f"{alias} has {len(chain)} models; there is no candidate {candidate}")
        model = chain[candidate]
        if model.embeds:
            raise UnknownAlias(f"{alias} is for embeddings, it cannot answer", todo="Use another alias")
        return model


def _names(catalogue: Catalogue, installed: Sequence[str], wanted: str | None) -> dict[str, tuple[str, ...]]:
    """The installed models of each alias, under the names that Ollama gives them."""
    if wanted is not None and full_name(wanted) not in installed:
        raise UnknownModel(
            f"Ollama has no model {wanted!r}. {_has(installed)}",
            untouched="Nothing was started",
            todo=f"ollama pull {wanted}, or choose one of those",
        )
    names: dict[str, tuple[str, ...]] = {}
    for alias, chain in catalogue.aliases.items():
        asked = chain if wanted is None or alias == EMBED_ALIAS else (wanted,)
        names[alias] = tuple(name for name in asked if full_name(name) in installed)
    return names


def _has(installed: Sequence[str]) -> str:
    return f"It has {', '.join(installed)}" if installed else "It has no model at all"


async def _describe(server: OllamaServer, catalogue: Catalogue, names: set[str]) -> dict[str, "OllamaModel"]:
    # Late: the client takes more than a second to import, which an offline run need not pay.
    from models.chat import OllamaModel  # noqa: PLC0415

    ordered = sorted(names)
    shown = await asyncio.gather(*(server.show(name) for name in ordered))
    return {
        name: OllamaModel(server, name, catalogue, told) for name, told in zip(ordered, shown, strict=True)
    }
