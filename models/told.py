"""Who stands behind the aliases, as every surface shows it. Never a key."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from core.redaction import redact
from models.errors import UnknownAlias
from models.routing.deployment import Deployment
from models.routing.pool import AccountPool, Need
from models.service import Models


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class EntryShown(_Told):
    """One entry of an alias's chain."""

    entry: str
    why_not: str
    """Why it cannot be asked; empty where it can."""


class PoolShown(_Told):
    """A pool of accounts."""

    accounts: int
    models: list[str]
    largest_window: int


class AccountShown(_Told):
    """One model of one account."""

    account: str
    provider: str
    address: str
    local: bool
    model: str
    window: int
    input_price: str | None
    """USD a million tokens; null where nobody gave one."""
    output_price: str | None
    capabilities: list[str]


class ModelsShown(_Told):
    """Who answers."""

    offline: bool
    """Whether a script answers, because nobody else is there."""
    aliases: dict[str, list[EntryShown]]
    """Asked in this order."""
    pools: dict[str, PoolShown]
    accounts: list[AccountShown]
    unusable: dict[str, str]
    """Accounts that cannot be used, and why."""


class ConsideredShown(_Told):
    """An account in the light of a call."""

    account: str
    model: str
    excluded: str
    """Why it cannot be chosen now; empty where it can."""
    expected_usd: float | None


class StepShown(_Told):
    """One entry of a chain, and who of it could be asked."""

    entry: str
    why_not: str
    considered: list[ConsideredShown]


class Explained(_Told):
    """Who is chosen for an alias, and why the others are not."""

    alias: str
    local_only: bool
    offline: bool
    chain: list[StepShown]


def listed(models: Models) -> ModelsShown:
    """The aliases, the pools and their accounts."""
    chains = models.chains
    return ModelsShown(
        offline=models.announcement is not None,
        aliases={
            alias: [
                EntryShown(entry=entry, why_not=chains.candidate(entry, local_only=models.local_only)[1])
                for entry in chain
            ]
            for alias, chain in chains.entries().items()
        },
        pools={name: _pool(pool) for name, pool in chains.fleet.pools.items()},
        accounts=accounts(models),
        unusable={name: redact(why) for name, why in chains.fleet.unusable.items()},
    )


def accounts(models: Models) -> list[AccountShown]:
    """Each model of each account."""
    return [_account(deployment) for deployment in models.chains.fleet.deployments]


def explained(view: Models, alias: str, *, project: str | None, team: str | None) -> Explained:
    """Who is chosen for an alias, as a project's team sees it. Raises UnknownAlias."""
    chains = view.chains
    entries = chains.entries(project, team)
    if alias not in entries:
        raise UnknownAlias(
            f"{alias[:80]!a} is neither an alias nor a team",
            todo=f"Use one of {', '.join(sorted(entries))}, or a team of `factory teams`",
        )
    limits = chains.catalogue.limits
    need = Need(
        limits.least_context - limits.least_answer, limits.least_answer, local_only=view.local_only,
        least_window=limits.least_context,
    )  # fmt: skip
    return Explained(
        alias=alias,
        local_only=view.local_only,
        offline=view.announcement is not None,
        chain=[_step(view, entry, need) for entry in entries[alias]],
    )


def _step(view: Models, entry: str, need: Need) -> StepShown:
    candidate, why = view.chains.candidate(entry, local_only=view.local_only)
    considered: list[ConsideredShown] = []
    if isinstance(candidate, AccountPool):
        considered = [
            ConsideredShown(
                account=one.deployment.account.name,
                model=one.deployment.model,
                excluded=one.excluded,
                expected_usd=None if one.score is None else round(one.score, 6),
            )
            for one in candidate.considered(need)
        ]
    return StepShown(entry=entry, why_not=why, considered=considered)


def _pool(pool: AccountPool) -> PoolShown:
    return PoolShown(
        accounts=len({deployment.account.name for deployment in pool.deployments}),
        models=sorted({deployment.model for deployment in pool.deployments}),
        largest_window=pool.window,
    )


def _account(deployment: Deployment) -> AccountShown:
    return AccountShown(
        account=deployment.account.name,
        provider=deployment.account.provider,
        address=redact(deployment.account.base_url),
        local=deployment.account.local,
        model=deployment.model,
        window=deployment.window,
        input_price=str(deployment.spec.input_price) if deployment.priced else None,
        output_price=str(deployment.spec.output_price) if deployment.priced else None,
        capabilities=sorted(deployment.capabilities),
    )
