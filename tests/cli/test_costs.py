"""`factory costs` and `--budget` through the real command line."""

import csv
import io
import json
import subprocess
from collections.abc import Callable
from decimal import Decimal

from core.database import Database
from models import ledger
from tests.models.spending.conftest import an_intent

Call = Callable[..., subprocess.CompletedProcess[str]]


async def test_costs_as_csv_and_json_are_the_sums_of_the_ledger(
    database: Database, call_factory: Call
) -> None:
    for key, team, cost in (("1", "maker", "0.1"), ("2", "maker", "0.2"), ("3", "=cmd()", "0.000001")):
        await ledger.record(
            database, an_intent(key=key, team=team).call, alias="factory/coder", provider="openai",
            account="main", model="gpt-double", status="ok", cost_usd=Decimal(cost),
        )  # fmt: skip
    told = json.loads(call_factory("costs", "--by", "model", "--json").stdout)
    assert [(row["name"], row["cost_usd"]) for row in told["rows"]] == [("gpt-double", "0.300001")]
    assert told["total"]["cost_usd"] == "0.300001"
    rows = list(csv.DictReader(io.StringIO(call_factory("costs", "--csv").stdout)))
    assert [(row["team"], row["cost_usd"]) for row in rows] == [
        ("maker", "0.3"), ("'=cmd()", "0.000001"), ("total", "0.300001"),
    ]  # fmt: skip


def test_an_amount_or_a_day_that_is_none_is_a_usage_error(call_factory: Call) -> None:
    for wrong in ("-3", "nan", "1e9", "10,5", ""):
        ended = call_factory("run", "Small pages", f"--budget={wrong}", "--model", "offline")
        assert (ended.returncode, "Nothing was started" in ended.stderr) == (2, True), ended.stderr
    assert call_factory("costs", "--since", "yesterday").returncode == 2
