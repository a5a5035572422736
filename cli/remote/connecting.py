"""The server that `--server` names."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from api.client import Client
from cli.screen import Screen
from core.errors import BadInput
from core.listening import is_loopback

TOKEN = "FACTORY_TOKEN"  # noqa: S105 (the name of a variable)


class NotElsewhere(BadInput):
    """An option has no meaning with --server."""


@asynccontextmanager
async def opened(server: str, screen: Screen) -> AsyncGenerator[Client]:
    """A client of the server, with the token in FACTORY_TOKEN."""
    token = os.environ.get(TOKEN, "").strip()
    parts = urlsplit(server)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        screen.note("This is neither loopback nor https: token and content cross the network unencrypted.")
    async with Client(server, token) as client:
        yield client


def refuse(**given: object) -> None:
    """Raise NotElsewhere where an option was given that only this machine's factory has."""
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if names:
        raise NotElsewhere(
            f"{', '.join(names)} cannot be given with --server: the server decides that",
            untouched="Nothing was sent",
            todo=f"Leave out {', '.join(names)}, or --server (and FACTORY_SERVER)",
        )
