"""`factory mcp …`: the MCP servers, over standard input and output or over HTTP."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from core import logs
from core.errors import BadInput
from core.settings import Settings
from governance.roles import Role

if TYPE_CHECKING:
    from mcp.server.fastmcp import FastMCP


class TransportUnclear(BadInput):
    """Choose --stdio or --http, not both."""


async def workspace(http: str | None, stdio: bool) -> int:
    """Serve the workspace until the client or the operator ends it."""
    _check(http, stdio)
    from workspace.mcp import server
    from workspace.mcp.sandboxes import Sandboxes

    settings = Settings.load()
    logs.configure(settings.log_level, settings.log_format)
    async with server.opened(Sandboxes(settings)) as opened:
        return await _serve(opened, settings, http)


async def factory(role: Role, model: str | None, http: str | None, stdio: bool) -> int:
    """Serve the factory; what it is given is worked on for as long as it is served."""
    _check(http, stdio)
    from api import mcp
    from cli.whoami import whoami
    from graph.runner import Factory

    settings = Settings.load(model=model)
    logs.configure(settings.log_level, settings.log_format)
    async with Factory.open(settings, model=model) as opened:
        for line in opened.announcements:
            _say(line)
        async with mcp.opened(opened, role, whoami()) as server:
            return await _serve(server, settings, http)


async def trust(project: str, high: list[str], as_json: bool) -> int:
    """Record that a person trusts what a project declares; returns 0."""
    from cli.screen import Screen
    from cli.whoami import whoami
    from teams.mcp.declared import McpInvalid, parse
    from teams.mcp.trust import Trust
    from workspace.errors import SandboxUnknown
    from workspace.projects import Workspace

    settings = Settings.load()
    workspace = Workspace(settings)
    if not workspace.has(project):
        raise SandboxUnknown(f"There is no project {project[:80]!a}", todo="See: factory runs")
    text = await (await workspace.project(project)).read("main", "project.toml")
    declared = parse(text or "", where="project.toml")
    if not declared:
        raise McpInvalid(f"project.toml of {project} declares no MCP server", untouched="Nothing was trusted")
    risky = {
        f"{name}/{tool}"
        for name, server in declared.servers.items()
        for tool, risk in server.tools.items()
        if risk == "HIGH"
    }
    if unknown := sorted(set(high) - risky):
        raise McpInvalid(
            f"{', '.join(unknown)[:200]}: no HIGH tool of {project}",
            untouched="Nothing was trusted",
            todo=f"HIGH tools: {', '.join(sorted(risky)) or 'none'}",
        )
    trusted = Trust(settings).give(project, declared, high=sorted(set(high)), by=whoami())
    screen = Screen(as_json)
    if as_json:
        screen.result(
            {"project": project, "declared": declared.model_dump(mode="json"), "high": trusted.high}
        )
        return 0
    for name, server in declared.servers.items():
        way = server.url or " ".join([server.command or "", *server.args])
        screen.say(f"{name}: {way}")
        for tool, risk in server.tools.items():
            remark = " (approved)" if f"{name}/{tool}" in trusted.high else ""
            screen.say(f"  {tool}: {risk}{remark}")
    screen.say(f"Trusted for {project}, until project.toml changes.")
    return 0


def _check(http: str | None, stdio: bool) -> None:
    if http is not None and stdio:
        raise TransportUnclear(todo="Without either it is --stdio")


async def _serve(server: FastMCP[Any], settings: Settings, http: str | None) -> int:
    from workspace.mcp import door

    if http is None:
        await door.serve_stdio(server)
        return 0
    token = settings.mcp_token.get_secret_value() if settings.mcp_token else None
    await door.serve_http(server, http, token=token, announce=_say)
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
