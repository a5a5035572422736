"""`factory serve`: the service on one address, until the process is told to end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Final

from fastapi import FastAPI

from api import staff
from api.app import create_app
from api.perimeter.server import configured
from api.service import Service
from api.webhooks.sending import sending
from core import redaction
from core.listening import in_url, is_loopback, listen
from core.serving import Server
from core.settings import Settings
from governance.access import Accounts
from governance.access.accounts import Printed
from graph.queue.driving import Dispatch
from graph.queue.worker import MOST_AT_ONCE
from graph.runner import Factory

GRACE: Final = 2
"""Seconds that open streams have to end when the server does."""


Beside = Callable[[FastAPI, Service, str], AbstractAsyncContextManager[Sequence[str]]]
"""Something else that the same server serves, while it is open; told the application, what it works with and
the server's address, it gives lines to announce."""


async def serve(
    settings: Settings,
    address: str,
    *,
    owner: str,
    announce: Callable[[str], None],
    beside: Sequence[Beside] = (),
    workers: int = 1,
    jobs: int = MOST_AT_ONCE,
    model: str | None = None,
    graphs: Path | None = None,
) -> int:
    """Serve until the process is told to end; 0. `announce` is told where, and the token.

    It contains so many `workers`, each on `jobs` at once: one in this process, the others in their own, which
    execute runs of the `graphs` of a file, too. With none it leaves the work to workers elsewhere.
    """
    printed = _printed(owner) if settings.printed_token else None
    listening, host, port = listen(address)
    with listening:
        async with Factory.open(settings) as factory, Dispatch.open(factory) as dispatch:
            for line in factory.announcements:
                announce(line)
            accounts = await asyncio.to_thread(Accounts.of, factory.db, settings, printed=printed)
            service = Service(factory, dispatch, accounts)
            app, url = create_app(service, host=host), f"http://{in_url(host)}:{port}"
            announce(f"Listening at {url}")
            if printed is not None:
                announce(f"The token, for `Authorization: Bearer …`: {printed.token}")
            if not is_loopback(host):
                announce("This is not loopback: the token and all content cross the network unencrypted.")
            async with AsyncExitStack() as stack:
                server = Server(configured(app, grace=GRACE, proxies=settings.proxies))
                # Around all that follows: that is ended in order, too.
                stack.enter_context(server.ended_in_order())
                await stack.enter_async_context(sending(service.webhooks, service.hub))
                for other in beside:
                    for line in await stack.enter_async_context(other(app, service, url)):
                        announce(line)
                await stack.enter_async_context(staff.more(workers - 1, jobs, model, graphs))
                await stack.enter_async_context(dispatch.working(jobs if workers else 0))
                await server.serve(sockets=[listening])
                announce("Ending; what is being worked on is handed over")
    return 0


def _printed(owner: str) -> Printed:
    token = secrets.token_urlsafe(32)
    redaction.know(token)
    return Printed(token, owner)
