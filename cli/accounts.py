"""`factory models`: who stands behind the aliases, whether they answer, and why one is chosen."""

from __future__ import annotations

import asyncio
from typing import cast

from cli.screen import Screen, one_line, table
from core import logs
from core.database import Database
from core.json import JsonObject
from core.settings import Settings
from models import told
from models.canary import Checked, check
from models.routing.deployment import Deployment
from models.service import Models
from models.told import StepShown
from teams.registry import Registry
from workspace import policies, project_settings

_SHOWN = 20  # accounts; of 5,000 nobody reads the rest


async def listing(*, as_json: bool) -> int:
    """The aliases, the pools and their accounts; returns 0."""
    screen = Screen(as_json)
    settings = Settings.load()
    async with await Models.open(settings, None) as models:
        chains = models.chains
        found = told.listed(models)
        if as_json:
            screen.result(found.model_dump(mode="json"))
            return 0
        rows = table("alias", "asked in this order")
        for alias, chain in found.aliases.items():
            said = [one.entry + (f" ({one.why_not})" if one.why_not else "") for one in chain]
            rows.add_row(alias, one_line(" → ".join(said), 200))
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
        said = [
            {"account": one.account, "model": one.model, "ok": one.ok, "detail": one.detail,
             "seconds": one.seconds} for one in checked
        ]  # fmt: skip
        screen.result(cast(JsonObject, {"ok": ok, "checked": said}))
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
        found = told.explained(view, alias, project=project, team=team.id if team else None)
        announced = models.announcement
    if as_json:
        screen.result(found.model_dump(mode="json"))
        return 0
    alone = " (local_only: nothing may leave this machine)" if found.local_only else ""
    screen.say(f"{alias}{alone}")
    for number, step in enumerate(found.chain, 1):
        _told(screen, number, step)
    if found.offline:
        screen.say(f"{announced}: nobody else is there")
    return 0


def _told(screen: Screen, number: int, step: StepShown) -> None:
    fit = [one for one in step.considered if not one.excluded]
    said = step.why_not or (
        f"{len(fit)} of {len(step.considered)} can be asked" if step.considered else "is asked"
    )
    screen.say(f"{number}. {step.entry}: {said}")
    if not step.considered:
        return
    rows = table("account", "model", "expected, USD", "why not")
    for one in step.considered[:_SHOWN]:
        expected = "" if one.expected_usd is None else f"{one.expected_usd:.6f}"
        rows.add_row(one.account, one.model, expected, one_line(one.excluded, 100))
    screen.out.print(rows)
    if len(step.considered) > _SHOWN:
        screen.say(f"   … and {len(step.considered) - _SHOWN} more; --json shows all")
