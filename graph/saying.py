"""Lets those who look at a run see what its model is writing: a few times a second, never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import psycopg

from core import sayings
from core.database import Database, DatabaseUnavailable
from core.redaction import redact
from core.tasks import end
from models.answer import overhearing
from models.calls import Call

PACE: Final = 0.3
"""Seconds between two tellings."""
REPEAT: Final = 7
"""Paces after which what stands still is told again, for who came to look meanwhile."""
MOST: Final = 100_000
"""Characters of an answer after which no more of it is shown while it comes."""
SHOWN: Final = 3_000
"""Characters of its end that are shown."""


@asynccontextmanager
async def overheard(db: Database, call: Call) -> AsyncGenerator[None]:
    """Tell what is written meanwhile, in this task or in what it starts."""
    telling = _Telling(db, call)
    mark = overhearing.set(telling.hear)
    sending = asyncio.create_task(telling.send(), name=f"say {call.key}")
    try:
        yield
    finally:
        overhearing.reset(mark)
        await end(sending)


class _Telling:
    def __init__(self, db: Database, call: Call) -> None:
        self._db = db
        self._call = call
        self._text = ""

    def hear(self, text: str) -> None:
        self._text = text

    async def send(self) -> None:
        told, quiet = "", 0
        while len(self._text) <= MOST:
            await asyncio.sleep(PACE)
            ending = shown(self._text)
            quiet = quiet + 1 if ending == told else 0
            if quiet % REPEAT or not ending:
                continue
            told = ending
            try:
                await sayings.tell(
                    self._db, sayings.Saying(self._call.run_id, self._call.team, self._call.key, ending)
                )
            except (psycopg.Error, DatabaseUnavailable):
                return  # a run in trouble has better things to do


def shown(text: str) -> str:
    """The end of the whole words: a secret that is half there cannot be known for one."""
    whole = text[: max(text.rfind(" "), text.rfind("\n")) + 1]
    return redact(whole)[-SHOWN:].strip()
