"""What a model writes, told to those who look: the newest only, bounded, and gone where nobody listens."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from core.database import Database
from core.sayings import MOST_BYTES, Saying, Sayings, tell
from core.settings import Settings


async def _first(sayings: Sayings, database: Database, saying: Saying) -> Saying:
    """What comes first at one who follows, where it is told again and again: who comes later missed it."""

    async def again() -> None:
        while True:
            await tell(database, saying)
            await asyncio.sleep(0.05)

    telling = asyncio.create_task(again())
    try:
        async with asyncio.timeout(30), aclosing(sayings.follow(saying.run_id)) as told:
            return await anext(told)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def test_it_comes_from_another_process_connection_for_the_run_that_is_followed(
    settings: Settings,
) -> None:
    async with Database.open(settings) as one, Database.open(settings) as other:
        await tell(one, Saying("run-a", "team", "key", "told to nobody"))
        wanted = Saying("run-a", "team", "key", "half an answer")
        async with aclosing(Sayings(other).follow("run-b")):
            assert await _first(Sayings(other), one, wanted) == wanted


async def test_of_a_long_text_the_end_is_told(settings: Settings) -> None:
    async with Database.open(settings) as database:
        for text in ("x" * 20_000 + "end", '"\n' * 8_000 + "end", "é𝄞" * 9_000 + "end"):
            told = await _first(Sayings(database), database, Saying("run-a", "team", "key", text))
            assert text.endswith(told.text)
            assert told.text.endswith("end")
            assert MOST_BYTES // 8 < len(told.text.encode()) < MOST_BYTES
