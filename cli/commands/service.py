"""`factory serve` and `factory worker`: the service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import Model, do, family

app = family("The service.")

Jobs = Annotated[
    int, typer.Option(min=1, max=256, metavar="N", help="Runs that one worker executes side by side.")
]


@app.command()
def serve(
    address: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen.")
    ] = "127.0.0.1:8000",
    chat: Annotated[bool, typer.Option(help="Serve the chat at /chat, too.")] = True,
    graphs: Annotated[
        Path | None,
        typer.Option(
            "--graphs",
            metavar="PATH",
            help="A langgraph.json whose graphs to serve beside the factory's own. With further workers, they"
            " execute its runs.",
        ),
    ] = None,
    model: Model = None,
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            max=64,
            metavar="N",
            help="Workers that it contains; 0 leaves all runs to `factory worker`.",
        ),
    ] = 1,
    jobs: Jobs = 4,
) -> int:
    """Serve the factory over HTTP, and execute its runs."""
    from api import serving
    from api.protocol.serving import spoken
    from cli.chatting import with_chat
    from cli.whoami import whoami
    from core import logs
    from core.settings import Settings

    settings = Settings.load(model=model)
    logs.configure(settings.log_level, settings.log_format)
    others = [spoken(graphs, alone=workers == 1), *([with_chat] if chat else [])]
    served = serving.serve(
        settings,
        address,
        owner=whoami(),
        announce=_say,
        beside=others,
        workers=workers,
        jobs=jobs,
        model=model,
        graphs=graphs,
    )
    return do(served)


@app.command()
def worker(
    jobs: Jobs = 4,
    model: Model = None,
    graphs: Annotated[
        Path | None,
        typer.Option(
            "--graphs",
            metavar="PATH",
            help="A langgraph.json, as the server has it, whose runs to execute beside the factory's own.",
        ),
    ] = None,
) -> int:
    """Execute runs that others submit, on this machine, until it is told to end (SIGTERM, Ctrl-C)."""
    from cli import working
    from core import logs
    from core.settings import Settings

    settings = Settings.load(model=model)
    logs.configure(settings.log_level, settings.log_format)
    return do(working.work(settings, jobs, announce=_say, graphs=graphs))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
