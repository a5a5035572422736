"""What a budget costs a call: 200 calls at once, in one process, under six budgets in a real Postgres.

Each call sets its cost aside, takes 0.2 to 1 s as a model's would, and settles. What is measured is the time
in reserve and settle together. Then the same without any pause between: all 200 at the same moment. The
server is the embedded one, with its writes flushed to the disk. For comparison the same traffic in the same
run with a statement that does nothing: what the machine and the way to the server take.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from benchmarks.measure import Measurement
from core.database import Database
from core.settings import Settings
from models.budget import Guard, Intent, Reservation, Spent, Unlimited
from models.calls import Call
from models.spending import caps
from models.spending.guard import Budgets
from models.spending.together import Together

GOAL = 50.0
_CALLS = 200
_ROUNDS = 5


def measure() -> Iterator[Measurement]:
    """Yield the measurements."""
    (at_work, bare_at_work), (at_once, bare_at_once) = asyncio.run(_measure())
    for what, taken, bare in (
        (f"{_CALLS} calls under way", at_work, bare_at_work),
        ("the same, all at one moment", at_once, bare_at_once),
    ):
        told = f"budgets: reserve + settle, {what}, p95 (an empty statement: {bare:.1f} ms)"
        yield Measurement(told, taken, "ms", goal=GOAL)


async def _measure() -> tuple[tuple[float, float], tuple[float, float]]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with Database.open(Settings(home=Path(home))) as db:
            agreed: dict[tuple[caps.Scope, str], Decimal | None] = {
                ("run", "run"): Decimal(1000),
                ("stage", "run/team"): Decimal(1000),
                ("team", "shop/team"): Decimal(1000),
                ("project", "shop"): Decimal(1000),
                ("account", "main"): Decimal(1000),
            }
            await caps.agree_all(db, agreed)
            budgets = Budgets(db, day_usd=Decimal(1000))
            await _round(budgets, "warm", pause=0)
            bare = Bare(db)
            at_work = await _round(budgets, "work", pause=1), await _round(bare, "work", pause=1)
            at_once = await _round(budgets, "once", pause=0), await _round(bare, "once", pause=0)
            found = await caps.of_run(db, "run", "shop")
            made = _CALLS * _ROUNDS * 3
            assert {one.spent_usd for one in found} == {made * Decimal("0.001")}, found
            return at_work, at_once


class Bare(Unlimited):
    """Asks the database for nothing, as often and in the same batches."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._asking, self._telling = (Together[int, None](self._send) for _ in range(2))

    async def reserve(self, intent: Intent) -> Reservation:
        """One empty statement for all who wait."""
        await self._asking.ask(0)
        return Reservation(intent)

    async def settle(self, reservation: Reservation, spent: Spent) -> None:
        """The same."""
        await self._telling.ask(0)

    async def _send(self, asked: Sequence[int]) -> Sequence[None]:
        async with self._db.pool.connection() as connection:
            await connection.execute("SELECT 1")
        return [None] * len(asked)


async def _round(budgets: Guard, name: str, *, pause: float) -> float:
    """The 95th percentile in milliseconds."""
    chance = random.Random(1)

    async def one(number: int) -> list[float]:
        taken: list[float] = []
        for turn in range(_ROUNDS):
            call = Call("run", "team", "author", "work", f"{name}/{number}/{turn}")
            intent = Intent(call, call.key, "shop", "main", "openai", "model", 10, 10, Decimal("0.002"))
            await asyncio.sleep(pause * chance.uniform(0, 1))
            began = time.perf_counter()
            held = await budgets.reserve(intent)
            reserved = time.perf_counter()
            await asyncio.sleep(pause * chance.uniform(0.2, 1))
            resumed = time.perf_counter()
            await budgets.settle(held, Spent(10, 10, Decimal("0.001")))
            taken.append(reserved - began + time.perf_counter() - resumed)
        return taken

    found = await asyncio.gather(*(one(number) for number in range(_CALLS)))
    taken = sorted(each for those in found for each in those)
    return taken[int(len(taken) * 0.95)] * 1000
