"""A server of its own, to be killed: prints its address and serves until it is ended."""

from __future__ import annotations

import asyncio

from api.service import Service
from core.settings import Settings
from governance.access import Accounts
from governance.access.accounts import Printed
from graph.queue.driving import Dispatch
from graph.runner import Factory
from tests.api.conftest import TOKEN, served_over_http


async def main() -> None:
    """Serve what the environment names."""
    settings = Settings.load()
    async with Factory.open(settings) as factory, Dispatch.open(factory) as dispatch:
        accounts = Accounts.of(factory.db, settings, printed=Printed(TOKEN, "owner"))
        async with served_over_http(Service(factory, dispatch, accounts)) as served:
            print(served.url, flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
