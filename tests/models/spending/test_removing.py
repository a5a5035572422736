"""A budget that is taken away and set again: what people added and what is under way are not forgotten."""

from decimal import Decimal

from core.database import Database
from models.spending import caps
from models.spending.caps import agree, extend
from models.spending.guard import Budgets
from tests.models.spending.conftest import RUN, Sums, an_intent, spent

RUNS = f"run:{RUN}"


async def test_what_a_person_added_to_a_budget_is_there_when_it_is_set_again(database: Database) -> None:
    await agree(database, "project", "shop", Decimal("0.10"))
    await extend(database, "approval-1", "project:shop", Decimal("0.05"))
    await agree(database, "project", "shop", None)
    await extend(database, "approval-2", "project:shop", Decimal("0.02"))
    await agree(database, "project", "shop", Decimal("0.20"))
    (budget,) = await caps.of_run(database, RUN, "shop")
    assert (budget.cap_usd, budget.extensions) == (Decimal("0.27"), 2)


async def test_what_is_under_way_counts_in_a_budget_that_was_set_again(
    database: Database, sums: Sums
) -> None:
    await agree(database, "run", RUN, Decimal("0.10"))
    budgets = Budgets(database)
    settled, held = (
        await budgets.reserve(an_intent("0.04", "1")),
        await budgets.reserve(an_intent("0.05", "2")),
    )
    await budgets.settle(settled, spent("0.03"))  # and its row is not in the ledger yet
    await agree(database, "run", RUN, None)
    await agree(database, "run", RUN, Decimal("0.10"))
    assert await sums() == {RUNS: (Decimal("0.03"), Decimal("0.05"))}
    await budgets.settle(held, spent("0.01"))
    assert await sums() == {RUNS: (Decimal("0.04"), 0)}
