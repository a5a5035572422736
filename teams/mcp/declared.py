"""What a `project.toml` or a settings file declares about MCP servers. Pure: text in, declaration out.

[mcp.servers.docs]
command = "docs-server"             # or: url = "https://…"
args = ["--read-only"]
env = ["DOCS_TOKEN"]                # names of variables that it gets beside PATH and HOME
seconds = 30
[mcp.servers.docs.tools]            # what is not listed is not offered
search = "LOW"
publish = "HIGH"                    # refused unless a person approved it
[mcp.grants]
backend_engineering = ["docs/search"]
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from langchain_core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.errors import BadInput
from core.json import canonical
from governance.policy import Risk

_SERVER = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_TOOL = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
MOST_SERVERS = 20


class McpInvalid(BadInput):
    """The MCP servers of a project are not declared as they must be."""


class NotOffered(Exception):
    """A granted tool that the team cannot have, and why."""


class Server(BaseModel):
    """One MCP server: a command that speaks over standard input and output, or a URL."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    command: str | None = Field(None, min_length=1)
    args: list[str] = []
    env: list[str] = []
    """Names of variables that a command is given."""
    url: str | None = Field(None, pattern=r"^https?://[^\s]+$")
    headers: dict[str, str] = {}
    """Headers of requests to a URL, each with the name of the variable that has its value."""
    seconds: int = Field(30, ge=1, le=300)
    """How long a call may take, the server's start included."""
    tools: dict[str, Risk] = {}
    """The tools that may be granted, with the risk of each."""

    @model_validator(mode="after")
    def _one_way(self) -> Server:
        if (self.command is None) == (self.url is None):
            raise ValueError("give a command or a url, and not both")
        return self

    @field_validator("tools")
    @classmethod
    def _named(cls, tools: dict[str, Risk]) -> dict[str, Risk]:
        for name in tools:
            if not _TOOL.fullmatch(name):
                raise ValueError(f"{name[:80]!a} is no name of a tool")
        return tools

    @field_validator("env")
    @classmethod
    def _variables(cls, names: list[str]) -> list[str]:
        for name in names:
            # The factory's own settings hold its database's password.
            if not _VARIABLE.fullmatch(name) or name.upper().startswith("FACTORY_"):
                raise ValueError(f"{name[:80]!a} is no variable that a server may have")
        return names


class Declared(BaseModel):
    """The `[mcp]` table of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    servers: dict[str, Server] = Field(default_factory=dict[str, Server], max_length=MOST_SERVERS)
    grants: dict[str, list[str]] = {}
    """Team to tools, each as `SERVER/TOOL`."""
    approved: list[str] = []
    """HIGH tools that a person approved; believed in the operator's own file only."""

    @field_validator("servers")
    @classmethod
    def _named(cls, servers: dict[str, Server]) -> dict[str, Server]:
        for name in servers:
            if not _SERVER.fullmatch(name):
                raise ValueError(f"{name[:80]!a} is no name of a server")
        return servers

    @property
    def digest(self) -> str:
        """Names exactly this content: what a person trusted is this and nothing else."""
        return sha256(canonical(self.model_dump(mode="json")).encode()).hexdigest()

    def __bool__(self) -> bool:
        return bool(self.servers or self.grants)


NOTHING = Declared()


def parse(text: str, *, where: str) -> Declared:
    """The `[mcp]` table of a TOML text; an empty one where there is none. Raises McpInvalid."""
    try:
        table: Any = tomllib.loads(text).get("mcp", {})
        return Declared.model_validate(table)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise McpInvalid(f"{where} is no valid TOML: {error}", todo="Correct the file") from error
    except ValidationError as invalid:
        error = invalid.errors(include_url=False, include_input=False)[0]
        field = ".".join(["mcp", *(str(part) for part in error["loc"])])
        raise McpInvalid(
            f"{where}: {field}: {error['msg']}", todo="docs/mcp.md shows how servers are declared"
        ) from None


def outside_tools(tools: Sequence[BaseTool]) -> list[BaseTool]:
    """Those of the tools that belong to MCP servers."""
    return [tool for tool in tools if "mcp" in (tool.metadata or {})]


def is_grant(name: str) -> bool:
    """Whether a name in a team's `tools` is `mcp:SERVER/TOOL`."""
    server, slash, tool = name.removeprefix("mcp:").partition("/")
    return name.startswith("mcp:") and bool(slash and _SERVER.fullmatch(server) and _TOOL.fullmatch(tool))


def together(own: Declared, project: Declared) -> Declared:
    """The operator's and a trusted project's; of a server in both, the operator's."""
    grants: dict[str, list[str]] = {}
    for file in (own, project):
        for team, tools in file.grants.items():
            grants[team] = [*grants.get(team, []), *tools]
    return Declared(
        servers={**project.servers, **own.servers}, grants=grants, approved=[*own.approved, *project.approved]
    )


def granted(declared: Declared, team: str, tools: Sequence[str]) -> tuple[list[str], list[str]]:
    """`SERVER/TOOL` of what the team's file (`tools`) or the project grants: listed ones, and others."""
    named = [name.removeprefix("mcp:") for name in tools if is_grant(name)]
    named += declared.grants.get(team, [])
    known = {f"{name}/{tool}" for name, server in declared.servers.items() for tool in server.tools}
    every = list(dict.fromkeys(named))
    return [name for name in every if name in known], [name for name in every if name not in known]
