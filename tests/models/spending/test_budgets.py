"""Budgets on a real Postgres: no overshoot, nothing counted twice, nothing forgotten."""

import asyncio
import signal
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from core import clock
from core.database import Database
from models import ledger
from models.spending import caps
from models.spending.caps import agree, extend, lapse
from models.spending.costs import costs
from models.spending.guard import BudgetReached, Budgets, PriceUnknown
from tests.models.spending.conftest import RUN, Sums, an_intent, spent

WORKER = [sys.executable, "-m", "tests.models.spending.worker"]


async def record(database: Database, key: str, cost: str, status: Any = "ok") -> None:
    call = an_intent(key=key).call
    await ledger.record(
        database, call, alias="factory/coder", provider="openai", account="main", model="gpt-double",
        status=status, cost_usd=Decimal(cost),
    )  # fmt: skip


async def test_what_is_reserved_counts_until_the_true_cost_takes_its_place(
    database: Database, sums: Sums
) -> None:
    await agree(database, "run", RUN, Decimal("0.10"))
    budgets = Budgets(database)
    held = await budgets.reserve(an_intent("0.04"))
    assert await sums() == {f"run:{RUN}": (0, Decimal("0.04"))}
    await budgets.settle(held, spent("0.013"))
    assert await sums() == {f"run:{RUN}": (Decimal("0.013"), 0)}
    await budgets.release(await budgets.reserve(an_intent("0.04", "2")))
    assert await sums() == {f"run:{RUN}": (Decimal("0.013"), 0)}


async def test_a_request_whose_cost_could_not_be_told_is_not_set_aside_for_ever(
    database: Database, sums: Sums
) -> None:
    await agree(database, "run", RUN, Decimal("0.10"))
    await Budgets(database).reserve(an_intent("0.04", "1"))  # the connection broke before it was settled
    await record(database, "1", "0", "error")
    await lapse(database, RUN)
    assert await sums() == {f"run:{RUN}": (Decimal("0.04"), 0)}
    assert (await costs(database, "team")).total.cost_usd == Decimal("0.04")


async def test_every_scope_of_a_call_is_charged_and_one_without_room_refuses_for_all(
    database: Database, sums: Sums
) -> None:
    for scope, subject in (
        ("run", RUN), ("stage", f"{RUN}/maker"), ("team", "shop/maker"), ("project", "shop"),
        ("account", "main"),
    ):  # fmt: skip
        await agree(database, scope, subject, Decimal("0.01" if scope == "account" else 1))  # type: ignore[arg-type]
    budgets = Budgets(database, day_usd=Decimal(2))
    with pytest.raises(BudgetReached, match="account main") as refused:
        await budgets.reserve(an_intent("0.02"))
    assert refused.value.full.id == "account:main"
    assert {held for _, held in (await sums()).values()} == {0}
    await budgets.reserve(an_intent("0.005"))
    found = await sums()
    assert len(found) == 6
    assert set(found.values()) == {(0, Decimal("0.005"))}


async def test_a_question_to_another_team_is_paid_by_the_stage_that_asks(
    database: Database, sums: Sums
) -> None:
    await agree(database, "stage", f"{RUN}/maker", Decimal("0.05"))
    await agree(database, "stage", f"{RUN}/painter", Decimal("0.05"))
    asked = an_intent("0.04", team="painter", paid_by="maker")
    await Budgets(database).reserve(asked)
    assert await sums() == {f"stage:{RUN}/maker": (0, Decimal("0.04")), f"stage:{RUN}/painter": (0, 0)}
    with pytest.raises(BudgetReached):
        await Budgets(database, patience_seconds=0).reserve(an_intent("0.02", "2"))


async def test_from_ninety_percent_on_nothing_is_sent_until_a_person_has_extended_it(
    database: Database, sums: Sums
) -> None:
    await agree(database, "run", RUN, Decimal("0.10"))
    budgets = Budgets(database)
    await budgets.settle(await budgets.reserve(an_intent("0.09", "1")), spent("0.0899"))
    await budgets.settle(await budgets.reserve(an_intent("0.0001", "2")), spent("0.0001"))
    with pytest.raises(BudgetReached, match=r"0\.09 of \$0\.10"):
        await budgets.reserve(an_intent("0.0001", "3"))
    for _ in range(2):
        applied = await extend(database, "approval-1", f"run:{RUN}", Decimal("0.05"))
    assert not applied
    await budgets.reserve(an_intent("0.06", "3"))
    assert await sums() == {f"run:{RUN}": (Decimal("0.09"), Decimal("0.06"))}


async def test_a_model_that_costs_nothing_is_never_refused(database: Database) -> None:
    await agree(database, "run", RUN, Decimal(0))
    await Budgets(database).reserve(an_intent("0"))
    with pytest.raises(BudgetReached):
        await Budgets(database).reserve(an_intent("0.000001", "2"))


async def test_a_model_without_a_price_is_refused_only_where_a_budget_applies(database: Database) -> None:
    budgets = Budgets(database)
    await budgets.reserve(an_intent(None))
    await agree(database, "project", "shop", Decimal(1))
    with pytest.raises(PriceUnknown, match="gpt-double has no price") as refused:
        await budgets.reserve(an_intent(None))
    assert "input_price" in refused.value.todo
    await budgets.reserve(an_intent(None, project="other"))
    with pytest.raises(PriceUnknown):
        await Budgets(database, day_usd=Decimal(1)).reserve(an_intent(None, project="other"))


async def test_fifty_calls_in_flight_in_each_of_three_processes_never_overshoot(
    database: Database, factory_env: dict[str, str], sums: Sums
) -> None:
    """The estimate is what a call costs: exactly as many as fit are made, and not one beyond."""
    await agree(database, "run", RUN, Decimal("1.00"))
    await agree(database, "project", "shop", Decimal(5))
    workers = [
        subprocess.Popen(
            [*WORKER, name, "50", "0.01", "0.01"], env=factory_env, stdout=subprocess.PIPE, text=True
        )
        for name in "abc"
    ]
    said = [int((await asyncio.to_thread(worker.communicate, timeout=120))[0]) for worker in workers]
    found = await sums()
    total, held = found[f"run:{RUN}"]
    assert (sum(said), held) == (total * 100, 0)
    # Below 0.90 a call may begin while others are under way; at 1.00 none may.
    assert Decimal("0.90") <= total <= Decimal("1.00")
    assert found["project:shop"] == (total, 0)


async def test_a_call_waits_for_what_others_have_set_aside_and_do_not_need(
    database: Database, sums: Sums
) -> None:
    await agree(database, "run", RUN, Decimal("0.10"))
    budgets = Budgets(database)
    first = await budgets.reserve(an_intent("0.08", "1"))
    second = asyncio.create_task(budgets.reserve(an_intent("0.08", "2")))
    await asyncio.wait({second}, timeout=0.2)
    assert not second.done()
    await budgets.settle(first, spent("0.001"))
    async with asyncio.timeout(30):
        await second
    assert await sums() == {f"run:{RUN}": (Decimal("0.001"), Decimal("0.08"))}


async def test_one_who_gives_up_waiting_leaves_nothing_set_aside(database: Database, sums: Sums) -> None:
    await agree(database, "run", RUN, Decimal("0.10"))
    budgets = Budgets(database)
    for number in range(20):
        task = asyncio.create_task(budgets.reserve(an_intent("0.001", str(number))))
        for _ in range(number):
            await asyncio.sleep(0)
        if not task.cancel():
            await budgets.release(task.result())
        await asyncio.wait({task})
        if not task.cancelled():
            await budgets.release(task.result())
    async with asyncio.timeout(30):
        while budgets._undoing:
            await asyncio.sleep(0.01)
    assert await sums() == {f"run:{RUN}": (0, 0)}


async def killed_with_a_reservation(factory_env: dict[str, str], estimate: str) -> None:
    process = subprocess.Popen([*WORKER, "die", estimate], env=factory_env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == "reserved\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


async def test_a_call_made_again_after_sigkill_takes_over_what_was_set_aside(
    database: Database, factory_env: dict[str, str], sums: Sums
) -> None:
    await agree(database, "run", RUN, Decimal("0.10"))
    await killed_with_a_reservation(factory_env, "0.06")
    assert await sums() == {f"run:{RUN}": (0, Decimal("0.06"))}
    budgets = Budgets(database)
    held = await budgets.reserve(an_intent("0.06"))
    assert await sums() == {f"run:{RUN}": (0, Decimal("0.06"))}
    await budgets.settle(held, spent("0.02"))
    await record(database, "1", "0.02")
    assert await sums() == {f"run:{RUN}": (Decimal("0.02"), 0)}
    assert (await costs(database, "team")).total.cost_usd == Decimal("0.02")


async def test_what_a_dead_process_had_set_aside_counts_as_spent_until_the_call_is_made_again(
    database: Database, factory_env: dict[str, str], sums: Sums
) -> None:
    await agree(database, "run", RUN, Decimal("0.10"))
    await killed_with_a_reservation(factory_env, "0.06")
    assert await lapse(database) == 0  # not overdue: its process may live
    assert await lapse(database, RUN) == 1
    assert await lapse(database, RUN) == 0
    assert await sums() == {f"run:{RUN}": (Decimal("0.06"), 0)}
    found = await costs(database, "account")
    assert [(row.name, row.failed, row.cost_usd) for row in found.rows] == [("main", 1, Decimal("0.06"))]
    budgets = Budgets(database)
    await budgets.settle(await budgets.reserve(an_intent("0.06")), spent("0.02"))
    await record(database, "1", "0.02")
    assert await sums() == {f"run:{RUN}": (Decimal("0.02"), 0)}
    assert (await costs(database, "team")).total.cost_usd == Decimal("0.02")


async def test_what_is_overdue_counts_as_spent_and_a_late_settle_puts_it_right(
    database: Database, sums: Sums
) -> None:
    await agree(database, "run", RUN, Decimal("0.10"))
    budgets = Budgets(database, overdue_seconds=0)
    held = await budgets.reserve(an_intent("0.06"))
    found = await costs(database, "model")
    assert found.total.cost_usd == Decimal("0.06")
    await budgets.settle(held, spent("0.02"))
    await record(database, "1", "0.02")
    assert await sums() == {f"run:{RUN}": (Decimal("0.02"), 0)}
    assert (await costs(database, "model")).total.cost_usd == Decimal("0.02")


async def test_a_call_that_is_in_the_ledger_is_not_counted_again(database: Database, sums: Sums) -> None:
    await agree(database, "run", RUN, Decimal("0.10"))
    budgets = Budgets(database)
    for _ in range(2):
        await budgets.settle(await budgets.reserve(an_intent("0.05")), spent("0.02"))
        await record(database, "1", "0.02")
    assert await sums() == {f"run:{RUN}": (Decimal("0.02"), 0)}


async def test_a_call_that_failed_and_is_made_again_is_counted_each_time(
    database: Database, sums: Sums
) -> None:
    await agree(database, "run", RUN, Decimal("0.10"))
    budgets = Budgets(database)
    await budgets.settle(await budgets.reserve(an_intent("0.05")), spent("0.01"))
    await budgets.settle(await budgets.reserve(an_intent("0.05", attempt=2)), spent("0.01"))
    await record(database, "1", "0.02", "error")
    await budgets.settle(await budgets.reserve(an_intent("0.05")), spent("0.03"))
    await record(database, "1", "0.03")
    assert await sums() == {f"run:{RUN}": (Decimal("0.05"), 0)}
    assert (await costs(database, "day")).total.cost_usd == Decimal("0.05")


async def test_a_new_budget_knows_what_was_spent_before(database: Database, sums: Sums) -> None:
    await record(database, "1", "0.07")
    await agree(database, "run", RUN, Decimal("0.10"))
    await agree(database, "account", "main", Decimal(1))
    assert await sums() == {f"run:{RUN}": (Decimal("0.07"), 0), "account:main": (Decimal("0.07"), 0)}
    await agree(database, "account", "main", None)
    assert list(await sums()) == [f"run:{RUN}"]


async def test_the_day_is_the_databases_whatever_the_clock_of_this_machine_does(database: Database) -> None:
    budgets = Budgets(database, day_usd=Decimal("0.10"))
    jumping = clock.TestClock()
    with clock.use(jumping):
        await budgets.settle(await budgets.reserve(an_intent("0.09", "1")), spent("0.09"))
        for days in (400, -900):
            jumping.advance(days * 86_400)
            with pytest.raises(BudgetReached, match="budget of day"):
                await budgets.reserve(an_intent("0.01", "2"))
    async with database.pool.connection() as connection:
        rows = await (await connection.execute(
            "SELECT subject, (now() AT TIME ZONE 'UTC')::date::text AS today FROM budgets"
        )).fetchall()  # fmt: skip
    assert [row["subject"] == row["today"] for row in rows] == [True]


async def test_a_changed_day_budget_holds_at_once_and_extensions_stay(database: Database) -> None:
    await Budgets(database, day_usd=Decimal("0.10")).reserve(an_intent("0.01"))
    (day,) = await caps.of_run(database, RUN, "shop")
    await extend(database, "approval-1", f"day:{day.subject}", Decimal("0.05"))
    with pytest.raises(BudgetReached):
        await Budgets(database, day_usd=Decimal("0.01"), patience_seconds=0).reserve(an_intent("0.07", "2"))
    (day,) = await caps.of_run(database, RUN, "shop")
    assert (day.cap_usd, day.extended_usd, day.extensions) == (Decimal("0.06"), Decimal("0.05"), 1)
