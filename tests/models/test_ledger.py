"""The ledger: what was spent, one row for one key, whatever happened."""

from decimal import Decimal
from typing import Any

import pytest

from core import clock
from core.database import Database
from models.errors import ModelStopped, ModelUnavailable
from models.ledger import usage
from models.service import Models
from tests.doubles.ollama_server import OllamaServer
from tests.models.calling import a_call, say
from tests.models.conftest import Open

RUN = a_call().run_id


async def rows(database: Database) -> list[dict[str, Any]]:
    async with database.pool.connection() as connection:
        cursor = await connection.execute("SELECT * FROM model_calls ORDER BY at, id")
        return await cursor.fetchall()


async def test_a_good_call_is_a_row(opened: Open, database: Database) -> None:
    models = await opened(db=database, models={"qwen3-coder:30b": {"input_price": 1000, "output_price": 1}})
    with clock.use(clock.TestClock()):
        reply = await say(models, call=a_call("review", key="k"))
    (row,) = await rows(database)
    assert row | {"id": "", "at": None, "seconds": 0.0} == {
        "id": "", "run_id": RUN, "team": "backend_engineering", "operative": "author", "call": "review",
        "alias": "factory/coder", "provider": "ollama", "account": "", "model": "qwen3-coder:30b",
        "input_tokens": 4, "output_tokens": 4, "cost_usd": Decimal("0.004004"), "seconds": 0.0,
        "status": "ok", "error": None, "at": None, "key": "k",
    }  # fmt: skip
    assert row["at"] == clock.TestClock().now()
    assert reply.cost_usd == row["cost_usd"]


async def test_the_same_key_is_written_once(opened: Open, database: Database) -> None:
    models = await opened(db=database)
    for _ in range(2):
        await say(models, call=a_call(key="same"))
    await say(models, call=a_call(key="other"))
    assert [row["key"] for row in await rows(database)] == ["same", "other"]


async def test_a_failed_call_is_a_row_that_says_why(
    ollama_server: OllamaServer, opened: Open, database: Database
) -> None:
    ollama_server.error = "bad key sk-proj-0123456789abcdefghij"
    ollama_server.fail("http-500")
    models = await opened(db=database)
    with pytest.raises(ModelUnavailable):
        await say(models)
    (row,) = await rows(database)
    assert (row["status"], row["input_tokens"]) == ("error", 0)
    assert row["error"].startswith("model-unavailable: qwen3-coder:30b")
    assert "sk-proj" not in row["error"]


async def test_a_try_that_works_replaces_one_that_failed(
    ollama_server: OllamaServer, opened: Open, database: Database
) -> None:
    ollama_server.fail("length", times=1)
    models = await opened(db=database)
    with pytest.raises(ModelStopped):
        await say(models)
    (failed,) = await rows(database)
    assert (failed["status"], failed["output_tokens"]) == ("error", 2)  # spent, though of no use
    await say(models)
    (row,) = await rows(database)
    assert (row["status"], row["error"], row["output_tokens"]) == ("ok", None, 6)
    assert row["seconds"] > failed["seconds"]


async def test_usage_sums_by_team(ollama_server: OllamaServer, opened: Open, database: Database) -> None:
    models: Models = await opened(db=database, models={"qwen3-coder:30b": {"output_price": 1_000_000}})
    await say(models, call=a_call(key="1"))
    await say(models, call=a_call(key="2"))
    await say(models, call=a_call("plan", key="3", team="factory"))
    ollama_server.fail("empty")
    with pytest.raises(ModelStopped):
        await say(models, call=a_call(key="4"))
    first, second = await usage(database, RUN)
    assert (first.team, first.calls, first.failed) == ("backend_engineering", 3, 1)
    assert (first.input_tokens, first.output_tokens, first.cost_usd) == (12, 8, Decimal(8))
    assert (second.team, second.calls, second.output_tokens) == ("factory", 1, 4)
    assert second.seconds > 0
    assert await usage(database, "run-other") == []
