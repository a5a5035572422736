"""A process that sends what webhooks are due, to be killed by a test."""

from __future__ import annotations

import asyncio

from api.webhooks.hooks import Webhooks
from api.webhooks.sending import Sender
from core.database import Database
from core.events import EventLog
from core.hub import Hub
from core.settings import Settings


async def main() -> None:
    """Send until killed."""
    settings = Settings.load()
    async with Database.open(settings) as db:
        await Sender(Webhooks(db, EventLog(db), settings), Hub(db)).run()


if __name__ == "__main__":
    asyncio.run(main())
