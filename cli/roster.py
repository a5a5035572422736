"""`factory teams`: who works here."""

from __future__ import annotations

from typing import cast

from cli.screen import Screen, clean, one_line, table
from core.json import JsonObject
from core.settings import Settings
from graph.roster import in_order
from teams.registry import Registry
from teams.team import Team
from workspace import policies

_TEXTS = ("soul", "agents", "tools_notes")


def teams(team_id: str | None, *, as_json: bool) -> int:
    """List the teams, or show one; returns 0."""
    screen = Screen(as_json)
    settings = Settings.load()
    registry = Registry.load(settings.pack, settings.pack_dirs, sandboxes=policies.load(settings).by_name)
    if team_id is not None:
        team = registry.team(team_id)
        if as_json:
            screen.result(cast(JsonObject, team.model_dump(mode="json")))
        else:
            _page(team, screen)
        return 0
    if as_json:
        listed = [
            team.model_dump(mode="json", exclude=set(_TEXTS) | {"operatives"}) for team in in_order(registry)
        ]
        screen.result(cast(JsonObject, {"pack": registry.pack, "teams": listed}))
        return 0
    rows = table("team", "model", "operatives", "what it does")
    for team in in_order(registry):
        rows.add_row(team.id, team.alias, str(len(team.operatives)), one_line(team.purpose))
    screen.out.print(rows)
    screen.say(f"\n{len(registry)} teams in the pack {registry.pack}. One of them: factory teams TEAM")
    return 0


def _page(team: Team, screen: Screen) -> None:
    screen.say(f"{clean(team.name)} ({team.id})", style="bold")
    screen.say(team.purpose)
    screen.say()
    for name, value in (
        ("model", team.alias),
        ("may be left out", "no" if team.required else f"yes, when {team.skip_when}"),
        ("writes", ", ".join(team.paths)),
        ("delivers", ", ".join(team.deliverables)),
        ("checked by", ", ".join(team.checks) or "nothing"),
        ("tools", ", ".join(team.tools)),
        ("sandbox", team.sandbox),
        ("usually asks", ", ".join(team.asks) or "nobody"),
        ("confidence", f"at least {team.threshold} of 100"),
        ("limits", ", ".join(f"{name} {value}" for name, value in team.limits.model_dump().items())),
    ):
        screen.say(f"  {name:<16}{value}")
    for operative in team.operatives:
        screen.say(f"  {'operative':<16}{operative.name} ({operative.role}, {operative.alias})")
    screen.say()
    screen.say(team.soul.strip())
