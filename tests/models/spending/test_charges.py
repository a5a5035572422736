"""A call that several accounts were tried for: each is told what it charged, and the sums stay the sums."""

from decimal import Decimal

from core.database import Database
from models import ledger
from models.calls import Charge
from models.spending.caps import agree
from models.spending.costs import Dimension, costs
from tests.doubles.openai_server import OpenAIServer
from tests.models.calling import a_call, say
from tests.models.routing.conftest import KEY, MODEL, OpenCloud, cloud, server
from tests.models.spending.conftest import Sums

__all__ = ["cloud", "server"]


async def spent_by(database: Database, by: Dimension) -> dict[str, tuple[Decimal, int, int]]:
    """Cost, calls and tokens of each row; their sum is the total."""
    found = await costs(database, by)
    assert sum((row.cost_usd for row in found.rows), Decimal(0)) == found.total.cost_usd
    assert sum(row.calls for row in found.rows) == found.total.calls
    tokens = [row.input_tokens + row.output_tokens for row in found.rows]
    assert sum(tokens) == found.total.input_tokens + found.total.output_tokens
    return {row.name: (row.cost_usd, row.calls, total) for row, total in zip(found.rows, tokens, strict=True)}


async def test_an_account_that_broke_off_has_its_part_and_the_one_that_answered_its_own(
    cloud: OpenCloud,
    server: OpenAIServer,
    database: Database,
) -> None:
    # The cheaper one is asked first, and breaks off in the middle of its answer.
    models = await cloud(accounts=2, db=database, retry={"attempts": 4, "first_seconds": 0.001})
    server.fail("cut", times=1)
    reply = await say(models)
    (charge,) = reply.charges
    assert {charge.account, reply.account} == {"a0", "a1"}
    assert Decimal(0) < charge.cost_usd < reply.cost_usd

    found = await spent_by(database, "account")
    assert found[charge.account] == (charge.cost_usd, 0, charge.input_tokens + charge.output_tokens)
    assert found[reply.account][:2] == (reply.cost_usd - charge.cost_usd, 1)
    assert (await spent_by(database, "model"))[MODEL][0] == reply.cost_usd
    counted = {name: server.counted[KEY.format(number)] for number, name in enumerate(("a0", "a1"))}
    answered = counted[reply.account]
    assert found[reply.account][2] == answered.input_tokens + answered.output_tokens


async def test_a_call_that_failed_on_one_account_and_went_well_on_another_later_keeps_both(
    database: Database, sums: Sums
) -> None:
    first = Charge("a", "openai", "m", 10, 5, Decimal("0.03"))
    rest = {"alias": "factory/coder", "provider": "openai", "model": "m"}
    await ledger.record(
        database, a_call(), **rest, account="a", status="error", input_tokens=10, output_tokens=5,
        cost_usd=Decimal("0.03"), charges=[first],
    )  # fmt: skip
    for _ in range(2):  # the second good one changes nothing
        await ledger.record(
            database, a_call(), **rest, account="b", status="ok", input_tokens=20, output_tokens=10,
            cost_usd=Decimal("0.04"), charges=[Charge("c", "openai", "m", 2, 1, Decimal("0.01"))],
        )  # fmt: skip
    assert await spent_by(database, "account") == {
        "a": (Decimal("0.03"), 0, 15), "b": (Decimal("0.03"), 1, 27), "c": (Decimal("0.01"), 0, 3),
    }  # fmt: skip
    assert (await spent_by(database, "team"))["backend_engineering"][0] == Decimal("0.07")
    for account, spent in (("a", "0.03"), ("b", "0.03"), ("c", "0.01")):
        await agree(database, "account", account, Decimal(1))
        assert (await sums())[f"account:{account}"] == (Decimal(spent), 0), "a new budget knows it, too"
