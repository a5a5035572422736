"""Builds the pools of a process from the models file: accounts with keys, models and limits."""

from dataclasses import dataclass, field
from fnmatch import fnmatch

from models import keys
from models.accounts import Account as Entry
from models.accounts import Provider, address_of
from models.catalogue import Catalogue
from models.providers.clients import Addressee, Clients, Wire
from models.providers.langchain import LangChainEndpoint
from models.providers.ollama import OllamaEndpoint
from models.routing.deployment import Account, Deployment, Endpoint
from models.routing.pool import AccountPool
from models.routing.quota import Lender, Quota
from models.server import OllamaServer


@dataclass
class Fleet:
    """Every account of the models file, and the pools that they form."""

    catalogue: Catalogue
    lender: Lender | None
    deployments: list[Deployment] = field(default_factory=list[Deployment])
    unusable: dict[str, str] = field(default_factory=dict[str, str])
    """Account -> why it cannot be used at all."""
    pools: dict[str, AccountPool] = field(default_factory=dict[str, AccountPool])
    _servers: dict[str, OllamaServer] = field(default_factory=dict[str, OllamaServer])

    def __post_init__(self) -> None:
        self._wire = Wire(self.catalogue.limits)
        self._clients = Clients(self._wire, self.catalogue.routing.clients)

    @classmethod
    def build(cls, catalogue: Catalogue, lender: Lender | None = None) -> "Fleet":
        """All accounts with their keys. Reads files; opens no connection."""
        fleet = cls(catalogue, lender)
        of_entry: dict[str, list[Deployment]] = {}
        for name, entry in catalogue.accounts.items():
            of_entry[name] = fleet._add(name, entry)
        for name, pool in catalogue.pools.items():
            chosen = [
                deployment
                for account, deployments in of_entry.items()
                if any(fnmatch(account, pattern) for pattern in pool.accounts)
                for deployment in deployments
                if not pool.models or deployment.model in pool.models
            ]
            fleet.pools[name] = AccountPool(name, chosen, catalogue.routing)
        return fleet

    def pool_of_model(self, model: str) -> AccountPool | None:
        """All accounts that have a model, as a pool; None where none has it."""
        chosen = [deployment for deployment in self.deployments if deployment.model == model]
        return AccountPool(model, chosen, self.catalogue.routing) if chosen else None

    async def aclose(self) -> None:
        """Close every connection."""
        if self.lender is not None:
            await self.lender.aclose()
        await self._wire.aclose()
        for server in self._servers.values():
            await server.aclose()

    def _add(self, name: str, entry: Entry) -> list[Deployment]:
        provider = self.catalogue.known_providers[entry.provider]
        base_url = address_of(entry, provider)
        # Only of these two the connections are ours: no proxy, and no redirect that leads elsewhere.
        own = provider.kind in ("openai", "ollama")
        local = own and self.catalogue.privacy.is_local(base_url)
        added: list[Deployment] = []
        found = keys.read(name, entry, self.catalogue.folder)
        for key in found:
            missing = key.missing
            if not missing and key.secret is None and provider.kind != "ollama" and not local:
                missing = "no key: give key_env or key_file"
            if missing:
                self.unusable[key.account] = missing
                continue
            account = Account(key.account, entry.provider, base_url, local=local)
            account.quotas = self._quotas(key.account, entry.rpm, entry.tpm, entry.window_seconds)
            for model in entry.models:
                endpoint = self._endpoint(provider, account, model, key)
                spec = self.catalogue.spec(model)
                priced = model in self.catalogue.priced or provider.kind == "ollama"
                deployment = Deployment(account, model, spec, endpoint, priced=priced)
                deployment.quotas = self._quotas(deployment.name, spec.rpm, spec.tpm, entry.window_seconds)
                added.append(deployment)
        self.deployments += added
        return added

    def _quotas(self, name: str, rpm: int | None, tpm: int | None, window: float) -> tuple[Quota, ...]:
        quotas: list[Quota] = []
        if rpm is not None:
            quotas.append(Quota(f"{name} requests", "requests", rpm, window, self.lender))
        if tpm is not None:
            quotas.append(Quota(f"{name} tokens", "tokens", tpm, window, self.lender))
        return tuple(quotas)

    def _endpoint(self, provider: Provider, account: Account, model: str, key: keys.Key) -> Endpoint:
        if provider.kind == "ollama":
            if account.base_url not in self._servers:
                self._servers[account.base_url] = OllamaServer(account.base_url, self.catalogue.limits)
            return OllamaEndpoint(self._servers[account.base_url], model, self.catalogue)
        spec = self.catalogue.spec(model)
        addressee = Addressee(
            kind=provider.kind,
            account=account.name,
            model=model,
            base_url=account.base_url,
            key=key.secret,
            local=account.local,
            temperature=spec.temperature,
        )
        return LangChainEndpoint(self._clients, addressee, spec)
