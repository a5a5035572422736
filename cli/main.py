"""The `factory` command: its families of commands, put together.

Nothing heavy is imported here, so that `factory --help` answers at once (benchmarks/cli_help.py measures it).
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.commands import (
    audit,
    backup,
    decisions,
    mail,
    mcp,
    memory,
    models,
    people,
    projects,
    runs,
    schedules,
    seeing,
    service,
    webhooks,
)

app = typer.Typer(
    name="factory",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="A requirement goes in, seventeen teams work, tested software in a git repository comes out.",
    epilog="Exit codes: 0 completed, 2 usage, 3 waits for a person, 4 failed, 5 rejected, 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (runs, seeing, decisions, service, backup):
    app.add_typer(commands.app)
app.add_typer(models.app, name="models")
app.add_typer(projects.app, name="project")
app.add_typer(mail.app, name="mail")
app.add_typer(memory.app, name="memory")
app.add_typer(schedules.app, name="schedule")
app.add_typer(audit.app, name="audit")
app.add_typer(mcp.app, name="mcp")
app.add_typer(people.users, name="user")
app.add_typer(people.tokens, name="token")
app.add_typer(webhooks.app, name="webhook")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"factory {version('factory-ai')}")
        raise typer.Exit


@app.callback()
def _root(  # pyright: ignore[reportUnusedFunction]
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


def main() -> None:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows another one; it does not end the run.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    sys.exit(call(sys.argv[1:]))


def call(arguments: list[str]) -> int:
    """Run one command line; returns its exit code. Errors are printed, as JSON where `--json` is given."""
    from cli import failing

    return failing.guard(lambda: app(arguments, prog_name="factory", standalone_mode=False), arguments)
