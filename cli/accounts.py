"""`factory models`: who stands behind the aliases, whether they answer, and why one is chosen."""

from __future__ import annotations

import asyncio
from typing import cast

from cli.screen import Screen, one_line, table
from core import logs
from core.database import Database
from core.json import JsonObject
from core.settings import Settings
from models.canary import Checked, check
from models.errors import UnknownAlias
from models.routing.deployment import Deployment
from models.routing.pool import AccountPool, Need
from models.service import Models
from teams.registry import Registry
from workspace import policies, project_settings

_SHOWN = 20  # accounts; of 5,000 nobody reads the rest


async def listing(*, as_json: bool) -> int:
    """The aliases, the pools and their accounts; returns 0."""
    screen = Screen(as_json)
    settings = Settings.load()
    async with await Models.open(settings, None) as models:
        chains = models.chains
        entries = chains.entries()
        found: JsonObject = {
            "offline": models.announcement is not None,
            "aliases": {
                alias: [
                    {"entry": entry, "why_not": chains.candidate(entry, local_only=models.local_only)[1]}
                    for entry in chain
                ]
                for alias, chain in entries.items()
            },
            "pools": {name: _sum(pool) for name, pool in chains.fleet.pools.items()},
            "accounts": [_account(deployment) for deployment in chains.fleet.deployments],
            "unusable": dict(chains.fleet.unusable),
        }
        if as_json:
            screen.result(found)
            return 0
        rows = table("alias", "asked in this order")
        for alias, chain in entries.items():
            told = [
                entry + (f" ({why})" if why else "")
                for entry, why in (
                    (entry, chains.candidate(entry, local_only=models.local_only)[1]) for entry in chain
                )
            ]
            rows.add_row(alias, one_line(" → ".join(told), 200))
        screen.out.print(rows)
        _accounts(screen, chains.fleet.deployments)
        for account, why in list(chains.fleet.unusable.items())[:_SHOWN]:
            screen.say(f"  {account}: {why}", style="yellow")
        if models.announcement:
            screen.say(f"\n{models.announcement}: neither an Ollama nor an account is there")
    return 0


def _accounts(screen: Screen, deployments: list[Deployment]) -> None:
    if not deployments:
        return
    rows = table("account", "model", "window", "in / out, USD a million", "can", "limits")
    for deployment in deployments[:_SHOWN]:
        spec = deployment.spec
        price = f"{spec.input_price} / {spec.output_price}" if deployment.priced else "no price is given"
        limits = ", ".join(
            f"{quota.supply} {quota.counts} in {quota.window:g} s"
            for quota in (*deployment.account.quotas, *deployment.quotas)
        )
        can = ", ".join(sorted(deployment.capabilities))
        rows.add_row(deployment.account.name, deployment.model, str(deployment.window), price, can, limits)
    screen.out.print(rows)
    if len(deployments) > _SHOWN:
        screen.say(f"  … and {len(deployments) - _SHOWN} more; --json shows all")


def _sum(pool: AccountPool) -> JsonObject:
    return {
        "accounts": len({deployment.account.name for deployment in pool.deployments}),
        "models": sorted({deployment.model for deployment in pool.deployments}),
        "largest_window": pool.window,
    }


def _account(deployment: Deployment) -> JsonObject:
    return {
        "account": deployment.account.name,
        "provider": deployment.account.provider,
        "address": deployment.account.base_url,
        "local": deployment.account.local,
        "model": deployment.model,
        "window": deployment.window,
        "input_price": str(deployment.spec.input_price) if deployment.priced else None,
        "output_price": str(deployment.spec.output_price) if deployment.priced else None,
        "capabilities": sorted(deployment.capabilities),
    }


async def checking(account: str | None, *, as_json: bool) -> int:
    """Ask every account, and every model of Ollama that an alias names, one tiny question; returns 4 where
    one does not answer."""
    screen = Screen(as_json)
    settings = Settings.load()
    # What fails here is told in the table.
    logs.configure("error")
    async with Database.open(settings) as db, await Models.open(settings, db) as models:
        checked = await check(models, account)
        checked += [Checked(name, "", False, why, 0.0) for name, why in models.chains.fleet.unusable.items()
                    if account in (None, name)]  # fmt: skip
    ok = bool(checked) and all(one.ok for one in checked)
    if as_json:
        told = [
            {"account": one.account, "model": one.model, "ok": one.ok, "detail": one.detail,
             "seconds": one.seconds} for one in checked
        ]  # fmt: skip
        screen.result(cast(JsonObject, {"ok": ok, "checked": told}))
        return 0 if ok else 4
    rows = table("account", "model", "", "seconds", "what it said")
    for one in checked:
        mark = "✓ answers" if one.ok else "✗ fails"
        rows.add_row(one.account, one.model, mark, f"{one.seconds:.1f}", one_line(one.detail, 100))
    screen.out.print(rows)
    if not checked:
        screen.say("Nobody is there to be asked: neither an account nor a model of Ollama.")
    return 0 if ok else 4


async def explaining(name: str, project: str | None, *, as_json: bool) -> int:
    """Who is chosen for an alias or a team, who is not, and why; returns 0. Raises UnknownAlias."""
    screen = Screen(as_json)
    settings = Settings.load()
    sandboxes = policies.load(settings).by_name
    registry = Registry.load(settings.pack, settings.pack_dirs, sandboxes=sandboxes)
    team = registry.team(name) if name in registry.ids else None
    alias = team.author.alias if team else name
    local_only = False
    if project is not None:
        loaded = await asyncio.to_thread(project_settings.load_operators, settings.home, project)
        local_only = loaded.models.local_only
    async with await Models.open(settings, None) as models:
        view = models.view(project=project, team=team.id if team else None, local_only=local_only)
        chains = view.chains
        entries = chains.entries(project, team.id if team else None)
        if alias not in entries:
            raise UnknownAlias(
                f"{name!r} is neither an alias nor a team",
                todo=f"Use one of {', '.join(sorted(entries))}, or a team of `factory teams`",
            )
        limits = chains.catalogue.limits
        need = Need(
            limits.least_context - limits.least_answer, limits.least_answer, local_only=view.local_only,
            least_window=limits.least_context,
        )  # fmt: skip
        steps = [_step(view, entry, need) for entry in entries[alias]]
        offline = models.announcement is not None
    if as_json:
        screen.result({"alias": alias, "local_only": view.local_only, "offline": offline, "chain": steps})
        return 0
    screen.say(f"{alias}" + (" (local_only: nothing may leave this machine)" if view.local_only else ""))
    for number, step in enumerate(steps, 1):
        _told(screen, number, step)
    if offline:
        screen.say(f"{models.announcement}: nobody else is there")
    return 0


def _step(view: Models, entry: str, need: Need) -> JsonObject:
    candidate, why = view.chains.candidate(entry, local_only=view.local_only)
    considered: list[JsonObject] = []
    if isinstance(candidate, AccountPool):
        considered = [
            {
                "account": one.deployment.account.name,
                "model": one.deployment.model,
                "excluded": one.excluded,
                "expected_usd": None if one.score is None else round(one.score, 6),
            }
            for one in candidate.considered(need)
        ]
    return {"entry": entry, "why_not": why, "considered": considered}


def _told(screen: Screen, number: int, step: JsonObject) -> None:
    considered = cast("list[JsonObject]", step["considered"])
    fit = [one for one in considered if not one["excluded"]]
    said = step["why_not"] or (f"{len(fit)} of {len(considered)} can be asked" if considered else "is asked")
    screen.say(f"{number}. {step['entry']}: {said}")
    if not considered:
        return
    rows = table("account", "model", "expected, USD", "why not")
    for one in considered[:_SHOWN]:
        expected = "" if one["expected_usd"] is None else f"{one['expected_usd']:.6f}"
        rows.add_row(str(one["account"]), str(one["model"]), expected, one_line(str(one["excluded"]), 100))
    screen.out.print(rows)
    if len(considered) > _SHOWN:
        screen.say(f"   … and {len(considered) - _SHOWN} more; --json shows all")
