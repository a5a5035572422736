"""Tools of MCP servers for a team: those that a declaration lists and the team or its project is granted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.tools import BaseTool

from core import clock
from core.settings import Settings
from teams.mcp import declared as declarations
from teams.mcp.declared import NOTHING, Declared, McpInvalid, NotOffered, Server
from teams.mcp.trust import Trust
from teams.team import Team

if TYPE_CHECKING:
    from mcp.types import Tool

_LISTING = 30.0  # seconds in which a server must say what it has
_AGAIN = 60.0  # seconds until a server that did not answer is tried again


@dataclass(frozen=True)
class Offer:
    """The tools of MCP servers that a team gets."""

    tools: tuple[BaseTool, ...] = ()
    problems: tuple[str, ...] = ()
    """What was granted and cannot be offered, and why."""


@dataclass
class Outside:
    """The MCP servers that this process knows."""

    settings: Settings
    _own: Declared = field(init=False)
    """What the operator's file declares."""
    _listed: dict[str, list[Tool]] = field(default_factory=lambda: {})
    _failed: dict[str, tuple[float, str]] = field(default_factory=dict[str, tuple[float, str]])

    def __post_init__(self) -> None:
        file = self.settings.mcp_file
        self._own = NOTHING if file is None else _read(file)

    async def offer(self, team: Team, project: str, project_toml: str | None) -> Offer:
        """What the team may use, by its own file, the operator's and a trusted project's."""
        problems: list[str] = []
        if project_toml is None:
            known, high = self._own, frozenset(self._own.approved)
        else:
            known, high = await asyncio.to_thread(self._known, project, project_toml, problems)
        tools: list[BaseTool] = []
        granted, unknown = declarations.granted(known, team.id, team.tools)
        problems += [f"{name}: granted, and listed by no server that is declared" for name in unknown]
        if not granted:
            return Offer((), tuple(problems))
        from teams.mcp import client  # noqa: PLC0415 (most runs never need it)

        for name in granted:
            server_name, _, tool_name = name.partition("/")
            server = known.servers[server_name]
            try:
                definition = await self._definition(server_name, server, tool_name)
                tools.append(
                    client.offered(self.settings, server_name, server, definition, approved=name in high)
                )
            except NotOffered as why:
                problems.append(f"{name}: {why}")
        return Offer(tuple(tools), tuple(dict.fromkeys(problems)))

    def _known(
        self, project: str, project_toml: str | None, problems: list[str]
    ) -> tuple[Declared, frozenset[str]]:
        """What is declared and believed, and the HIGH tools that a person approved."""
        own, wish = self._own, NOTHING
        try:
            wish = declarations.parse(project_toml or "", where="project.toml")
        except McpInvalid as invalid:
            problems.append(str(invalid))
        if not wish:
            return own, frozenset(own.approved)
        trusted = Trust(self.settings).of(project, wish)
        if trusted is None:
            problems.append(
                "project.toml declares MCP servers that nobody has trusted; "
                f"look at them with: factory mcp trust {project}"
            )
            return own, frozenset(own.approved)
        wish = wish.model_copy(update={"approved": trusted.high})
        together = declarations.together(own, wish)
        return together, frozenset(together.approved)

    async def _definition(self, name: str, server: Server, tool: str) -> Tool:
        from teams.mcp import client  # noqa: PLC0415

        key = f"{name} {server.model_dump_json()}"
        if (failed := self._failed.get(key)) and clock.monotonic() < failed[0]:
            raise NotOffered(failed[1])
        if key not in self._listed:
            try:
                async with asyncio.timeout(_LISTING), client.session(server, self.settings) as opened:
                    self._listed[key] = await client.all_tools(opened)
            except Exception as error:
                why = f"the server {name} does not answer: {client.reason(error)}"
                self._failed[key] = (clock.monotonic() + _AGAIN, why)
                raise NotOffered(why) from error
        for definition in self._listed[key]:
            if definition.name == tool:
                return definition
        raise NotOffered(f"the server {name} has no such tool")


def _read(file: Path) -> Declared:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise McpInvalid(f"{file} cannot be read: {error}", todo="Correct FACTORY_MCP_FILE") from error
    return declarations.parse(text, where=str(file))
