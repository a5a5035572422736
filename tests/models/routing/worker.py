"""A process that calls through an account as fast as it may, until so many calls are answered.

python -m tests.models.routing.worker MODELS_FILE DATABASE_URL NUMBER CALLS AT_ONCE
"""

import asyncio
import sys
from pathlib import Path

from core.database import Database
from core.settings import Settings
from models.service import Models
from tests.models.calling import a_call, say


async def work(file: str, database_url: str, number: str, calls: int, at_once: int) -> None:
    settings = Settings(models_file=Path(file), database_url=database_url, ollama_url="http://127.0.0.1:1")  # pyright: ignore
    left = iter(range(calls))

    async def one_after_another(models: Models) -> None:
        for call in left:
            await say(models, call=a_call(key=f"{number}.{call}"))

    async with Database.open(settings) as db, await Models.open(settings, db) as models:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(*(one_after_another(models) for _ in range(at_once)))
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
