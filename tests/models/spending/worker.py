"""A process that calls a model under the budgets: many at once, until one is refused. Run with -m."""

import asyncio
import sys
from decimal import Decimal

from core.database import Database
from core.settings import Settings
from models.budget import Spent
from models.spending.guard import BudgetReached, Budgets
from tests.models.spending.conftest import an_intent


async def main(name: str, tasks: int, estimate: str, cost: str) -> None:
    async with Database.open(Settings()) as db:
        budgets = Budgets(db, patience_seconds=20)

        async def one(number: int) -> int:
            done = 0
            while True:
                try:
                    held = await budgets.reserve(an_intent(estimate, f"{name}/{number}/{done}"))
                except BudgetReached:
                    return done
                await asyncio.sleep(0)
                await budgets.settle(held, Spent(1, 1, Decimal(cost)))
                done += 1

        print(sum(await asyncio.gather(*(one(number) for number in range(tasks)))))


async def die(estimate: str) -> None:
    """Set something aside and say so; then wait to be killed."""
    async with Database.open(Settings()) as db:
        await Budgets(db).reserve(an_intent(estimate))
        print("reserved", flush=True)
        await asyncio.sleep(600)


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(die(given[1]) if given[0] == "die" else main(given[0], int(given[1]), given[2], given[3]))
