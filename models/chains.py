"""From an alias to who can answer: the entries of its chain that are there, and why the others are not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from models.accounts import POOL
from models.catalogue import EMBED_ALIAS, Catalogue
from models.errors import UnknownAlias, UnknownModel
from models.routing.fleet import Fleet
from models.routing.pool import AccountPool
from models.server import OllamaServer, full_name

if TYPE_CHECKING:
    from models.chat import OllamaModel

    Candidate = OllamaModel | AccountPool

_CLOUD = ("-cloud", ":cloud")
"""How models end that Ollama does not run itself but passes on to its makers' servers."""


@dataclass(slots=True)
class Chains:
    """Who stands behind the entries of the models file, in this process."""

    catalogue: Catalogue
    fleet: Fleet
    server: OllamaServer | None = None
    """The Ollama at FACTORY_OLLAMA_URL; None where none answers."""
    installed: tuple[str, ...] = ()
    override: str | None = None
    """The entry that stands behind every alias but the one for embeddings."""
    ollama: Mapping[str, "OllamaModel"] = field(default_factory=dict[str, "OllamaModel"])
    """Model -> how it is asked, of those that the server has and an alias names."""

    def account_budgets(self) -> dict[str, Decimal]:
        """Account -> what may be spent on it, of those that the file gives a budget. USD."""
        entries = self.catalogue.accounts
        found: dict[str, Decimal] = {}
        for name in {one.account.name for one in self.fleet.deployments}:
            # The accounts of a keys_file are called NAME-1, NAME-2 …
            entry = entries.get(name) or entries.get(name.rpartition("-")[0])
            if entry is not None and entry.budget_usd is not None:
                found[name] = entry.budget_usd
        return found

    @property
    def anybody(self) -> bool:
        """Whether anything real can be asked: an Ollama, or an account of a pool."""
        return self.server is not None or bool(self.fleet.deployments)

    def entries(self, project: str | None = None, team: str | None = None) -> dict[str, tuple[str, ...]]:
        """The chain of each alias as one team of one project sees it, before anybody looks who is there."""
        chains = self.catalogue.overridden(project, team)
        if self.override is None:
            return chains
        return {alias: chain if alias == EMBED_ALIAS else (self.override,) for alias, chain in chains.items()}

    def candidate(self, entry: str, *, local_only: bool) -> "tuple[Candidate | None, str]":
        """Who answers for an entry, or why nobody does."""
        if (pool := self._pool(entry)) is not None:
            usable = [one for one in pool.deployments if one.account.local or not local_only]
            if usable:
                return pool, ""
            if pool.deployments:
                return None, "local_only: none of its accounts is on this machine"
            return None, self._without_accounts(entry)
        if self.server is None:
            return None, "no Ollama answers"
        if local_only and not self.catalogue.privacy.is_local(self.server.url):
            return None, f"local_only: Ollama at {self.server.name} is not on this machine"
        if local_only and entry.endswith(_CLOUD):
            return None, "local_only: Ollama passes this model on to its makers' servers"
        model = self.ollama.get(entry)
        return (model, "") if model is not None else (None, "Ollama does not have it")

    def resolve(
        self, alias: str, project: str | None, team: str | None, *, local_only: bool
    ) -> "list[Candidate]":
        """Who can be asked for an alias, the preferred one first. Raises UnknownAlias, and UnknownModel
        where the chain ends nowhere."""
        entries = self.entries(project, team)
        if alias not in entries:
            raise UnknownAlias(
                f"There is no alias {alias!r}", todo=f"Use one of {', '.join(sorted(entries))}"
            )
        found = [(entry, *self.candidate(entry, local_only=local_only)) for entry in entries[alias]]
        chain = [candidate for _, candidate, _ in found if candidate is not None]
        if not chain:
            raise self._ends_nowhere(alias, [(entry, why) for entry, _, why in found])
        return chain

    def _ends_nowhere(self, alias: str, entries: Sequence[tuple[str, str]]) -> UnknownModel:
        of_ollama = [entry for entry, why in entries if why == "Ollama does not have it"]
        if len(of_ollama) == len(entries):
            return UnknownModel(
                f"Ollama has none of {', '.join(of_ollama)}, which stand behind {alias}. "
                f"{has(self.installed)}",
                untouched="Nothing was asked",
                todo=f"ollama pull {of_ollama[0]}, or choose with --model or the models file",
            )
        told = "; ".join(f"{entry}: {why}" for entry, why in entries)
        return UnknownModel(
            f"Nothing behind {alias} can be asked ({told})",
            untouched="Nothing was asked",
            todo="See `factory models`, and correct the accounts or the models file",
        )

    def _pool(self, entry: str) -> AccountPool | None:
        if entry.startswith(POOL):
            return self.fleet.pools.get(entry.removeprefix(POOL))
        if entry == self.override and full_name(entry) not in self.installed:
            return self.fleet.pool_of_model(entry)
        return None

    def _without_accounts(self, entry: str) -> str:
        reasons = sorted(set(self.fleet.unusable.values()))
        told = f" ({'; '.join(reasons[:3])})" if reasons else ""
        return f"no account of {entry} can be used{told}"


def installed_names(catalogue: Catalogue, installed: Sequence[str], override: str | None) -> list[str]:
    """The models of Ollama that any chain of the file names and the server has."""
    entries = {entry for chain in catalogue.every_chain() for entry in chain}
    if override is not None:
        entries.add(override)
    return sorted(e for e in entries if not e.startswith(POOL) and full_name(e) in installed)


def has(installed: Sequence[str]) -> str:
    """What an Ollama has, in words."""
    return f"It has {', '.join(installed)}" if installed else "It has no model at all"
