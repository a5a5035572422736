"""`factory serve`: the service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import Model, do, family

app = family("The service.")


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
            help="A langgraph.json whose graphs to serve beside the factory's own.",
        ),
    ] = None,
    model: Model = None,
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
    others = [spoken(graphs), *([with_chat] if chat else [])]
    return do(serving.serve(settings, address, owner=whoami(), announce=_say, beside=others))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
