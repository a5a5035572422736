"""`factory mcp`: servers for editors and assistants."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli.commands.options import AsJson, Model, do, family

app = family("MCP servers, for editors and assistants.")

Http = Annotated[
    str | None,
    typer.Option(
        "--http", metavar="HOST:PORT", help="Serve streamable HTTP here, with a token that is printed."
    ),
]
Stdio = Annotated[bool, typer.Option("--stdio", help="Serve standard input and output. [default]")]


class AsRole(StrEnum):
    """The roles of governance/roles.py, by name."""

    auditor = "auditor"
    operator = "operator"
    director = "director"


@app.command("workspace")
def mcp_workspace(http: Http = None, stdio: Stdio = False) -> int:
    """Serve the projects: sandboxes to read, write, patch, compare and take back. Nothing is merged."""
    from cli import serving

    return do(serving.workspace(http, stdio))


@app.command("factory")
def mcp_factory(
    role: Annotated[
        AsRole, typer.Option(help="What a client may do: auditor reads, operator also submits and answers.")
    ] = AsRole.operator,
    model: Model = None,
    http: Http = None,
    stdio: Stdio = False,
) -> int:
    """Serve the factory: submit a requirement, follow it, answer; a director also approves."""
    from cli import serving

    return do(serving.factory(role.value, model, http, stdio))


@app.command("trust")
def mcp_trust(
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name.")],
    high: Annotated[
        list[str] | None,
        typer.Option("--high", metavar="SERVER/TOOL", help="Approve this HIGH tool; may repeat."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Let teams use the MCP servers that a project's project.toml declares, exactly as it does now."""
    from cli import serving

    return do(serving.trust(project, high or [], as_json))
