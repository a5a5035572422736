"""Arguments and options that several commands share, and how a command does its work."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from core.errors import FactoryError
from core.tasks import obeying

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
RunId = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, the unique beginning of one, or `last`.")
]
ProjectName = Annotated[str, typer.Argument(metavar="PROJECT", help="The project.")]
Model = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Put this model behind every team; `offline` is the scripted one."),
]
Pipeline = Annotated[str, typer.Option(metavar="NAME", help="full (17 teams) or core (5 teams).")]
ApproveAll = Annotated[
    bool, typer.Option("--approve-all", help="Approve what would wait for a person; recorded as such.")
]
Budget = Annotated[
    str | None,
    typer.Option("--budget", metavar="USD", help="What the run may spend on models, as in 0.10."),
]
Record = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the run's model calls to this file, secrets masked."),
]
Unsafe = Annotated[
    bool,
    typer.Option(
        "--unsafe-no-sandbox", help="Run the teams' code without isolation, where no sandbox works."
    ),
]

IfActive = Annotated[
    Literal["reject", "enqueue", "interrupt", "rollback"] | None,
    typer.Option(
        "--if-active",
        help="Where runs of the project are active: reject this one, have it wait (enqueue), pause them "
        "(interrupt) or cancel them (rollback). [default: work side by side]",
    ),
]

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        envvar="FACTORY_SERVER",
        help="Ask the factory that serves there, with the token in FACTORY_TOKEN.",
    ),
]


class Interrupted(FactoryError):
    """Interrupted."""

    exit_code = 130


def family(about: str, *, lone: bool = True) -> typer.Typer:
    """An app for the commands of one family; without `lone` it also does something without a command."""
    # Rich's help costs as much time as everything else together.
    return typer.Typer(no_args_is_help=lone, rich_markup_mode=None, help=about)


def do(work: Coroutine[Any, Any, int]) -> int:
    """Do a command's work; its exit code."""
    try:
        return asyncio.run(obeying(work))
    except KeyboardInterrupt:
        raise Interrupted(todo="See what there is with: factory runs") from None
