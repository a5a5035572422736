"""Short words for budgets in a test."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from core.database import Database
from models.budget import Intent, Spent
from models.calls import Call

RUN = "run-1"
Sums = Callable[[], Awaitable[dict[str, tuple[Decimal, Decimal]]]]


def an_intent(cost: str | None = "0.01", key: str = "1", *, attempt: int = 1, **more: Any) -> Intent:
    who = {"run_id": RUN, "team": "maker", "operative": "author", "kind": "work", "paid_by": ""} | {
        name: more.pop(name) for name in ("run_id", "team", "paid_by") if name in more
    }
    call = Call(**who, key=key)
    usd = None if cost is None else Decimal(cost)
    what = {"project": "shop", "account": "main", "provider": "openai", "model": "gpt-double"} | more
    return Intent(
        call, f"{key}#{attempt}", input_tokens=10, output_tokens=10, cost_usd=usd, attempt=attempt, **what
    )


def spent(cost: str) -> Spent:
    return Spent(10, 10, Decimal(cost))


@pytest.fixture
def sums(database: Database) -> Sums:
    """Each budget's (spent, reserved)."""

    async def read() -> dict[str, tuple[Decimal, Decimal]]:
        async with database.pool.connection() as connection:
            rows = await (
                await connection.execute("SELECT id, spent_usd, reserved_usd FROM budgets")
            ).fetchall()
        return {row["id"]: (row["spent_usd"], row["reserved_usd"]) for row in rows}

    return read
