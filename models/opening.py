"""Connects a process to its models: the Ollama that answers, the accounts, and what was wanted by name."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.settings import Settings
from models.accounts import POOL
from models.catalogue import Catalogue
from models.chains import Chains, has, installed_names
from models.errors import ModelUnavailable, UnknownModel
from models.routing.fleet import Fleet
from models.server import OllamaServer, full_name

if TYPE_CHECKING:
    from models.chat import OllamaModel


async def connect(settings: Settings, catalogue: Catalogue, fleet: Fleet, wanted: str | None) -> Chains:
    """Ollama and the accounts behind the chains.

    Raises UnknownModel and ModelUnavailable where what was `wanted` by name is not among them.
    """
    chains = Chains(catalogue, fleet, override=wanted)
    server = OllamaServer(settings.ollama_url, catalogue.limits)
    try:
        if await server.answers():
            chains.server = server
            chains.installed = await server.installed()
            names = installed_names(catalogue, chains.installed, wanted)
            chains.ollama = await _describe(server, catalogue, names)
        if wanted is not None:
            _require(chains, server, wanted)
    except BaseException:
        await server.aclose()
        raise
    if chains.server is None:
        await server.aclose()
    return chains


def _require(chains: Chains, server: OllamaServer, wanted: str) -> None:
    """Raise where the one model that was asked for by name is not there."""
    if wanted.startswith(POOL) and wanted.removeprefix(POOL) not in chains.catalogue.pools:
        raise UnknownModel(
            f"There is no pool {wanted.removeprefix(POOL)!r} in the models file",
            untouched="Nothing was started",
            todo=f"There are: {', '.join(chains.catalogue.pools) or 'none'}",
        )
    candidate, why = chains.candidate(wanted, local_only=False)
    if candidate is not None:
        return
    if wanted.startswith(POOL):
        raise UnknownModel(
            f"{wanted} cannot be used: {why}",
            untouched="Nothing was started",
            todo="See `factory models`, and correct the accounts",
        )
    if chains.server is None:
        raise ModelUnavailable(
            f"No Ollama answers at {server.name}, so that {wanted!r} cannot be used",
            untouched="Nothing was started",
            todo="Start it with `ollama serve`, set FACTORY_OLLAMA_URL, or use --model offline",
        )
    assert full_name(wanted) not in chains.installed
    raise UnknownModel(
        f"Ollama has no model {wanted!r}. {has(chains.installed)}",
        untouched="Nothing was started",
        todo=f"ollama pull {wanted}, or choose one of those",
    )


async def _describe(
    server: OllamaServer, catalogue: Catalogue, names: Sequence[str]
) -> dict[str, "OllamaModel"]:
    if not names:
        return {}
    # Late: the client takes more than a second to import, which an offline run need not pay.
    from models.chat import OllamaModel  # noqa: PLC0415

    shown = await asyncio.gather(*(server.show(name) for name in names))
    return {name: OllamaModel(server, name, catalogue, told) for name, told in zip(names, shown, strict=True)}
