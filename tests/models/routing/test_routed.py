"""The factory's models as one chat model of LangChain's: streams, tools, structured output, and the chain."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from core.database import Database
from models.budget import Intent, Reservation, Spent
from models.errors import ModelStopped, ModelUnavailable
from models.routed import RoutedChatModel
from models.service import Models
from tests.doubles.ollama_server import OllamaServer
from tests.doubles.openai_server import OpenAIServer
from tests.models.calling import CODER, a_call, say
from tests.models.routing.conftest import KEY, OpenCloud

BOTH = {CODER: ["pool:cloud", "qwen3-coder:30b"]}


class Sky(BaseModel):
    """What the sky looks like."""

    colour: str
    clouds: int


@tool
def read_file(path: str) -> str:
    """Read a file."""
    return path


def routed(models: Models) -> RoutedChatModel:
    return RoutedChatModel(models=models, alias=CODER, call=a_call(key="chat"))


async def test_it_answers_with_usage_account_and_cost(server: OpenAIServer, cloud: OpenCloud) -> None:
    message = await routed(await cloud()).ainvoke("Good morning!")
    assert message.text == "Good morning."
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == 8
    assert message.response_metadata == {
        "model_name": "gpt-double", "model_provider": "openai", "account": "a0", "cost_usd": "0.012",
    }  # fmt: skip


async def test_it_streams_piece_by_piece_and_counts_once(server: OpenAIServer, cloud: OpenCloud) -> None:
    chunks = [chunk async for chunk in routed(await cloud()).astream("Good morning!")]
    assert [chunk.text for chunk in chunks if chunk.text] == ["Good", " mor", "ning", "."]
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["input_tokens"] == 4
    assert whole.response_metadata["account"] == "a0"


async def test_a_stream_goes_elsewhere_before_its_first_piece_only(
    server: OpenAIServer, ollama_server: OllamaServer, cloud: OpenCloud
) -> None:
    models = await cloud(accounts=2, ollama=ollama_server, aliases=BOTH, limits={"patience_seconds": 0})
    server.fail("http-500", key=KEY.format(0))
    assert "".join([c.text async for c in routed(models).astream("x")]) == "Good morning."
    server.heal()
    server.fail("cut")
    heard: list[str] = []

    async def listen() -> None:
        async for chunk in routed(models).astream("x"):
            heard.append(str(chunk.text))

    with pytest.raises(ModelUnavailable, match="in the middle of its answer"):
        await listen()
    assert "".join(heard) == "Good mor"
    assert not ollama_server.chats


async def test_the_chain_goes_on_to_ollama(
    server: OpenAIServer, ollama_server: OllamaServer, cloud: OpenCloud
) -> None:
    server.fail("http-529")
    models = await cloud(ollama=ollama_server, aliases=BOTH)
    model = routed(models)
    assert (await model.ainvoke("x")).response_metadata["model_provider"] == "ollama"
    pieces = [chunk async for chunk in model.astream("x")]
    assert "".join(chunk.text for chunk in pieces) == "Good morning."


async def test_a_stream_that_nobody_reads_on_is_closed(server: OpenAIServer, cloud: OpenCloud) -> None:
    server.brain = lambda *_: "word " * 200_000
    models = await cloud(models={"gpt-double": {"num_ctx": 900_000, "num_predict": 800_000}})
    stream = routed(models).astream("x")
    async for _ in stream:
        break
    await stream.aclose()  # pyright: ignore
    async with asyncio.timeout(20):  # LangChain's own generator is closed by the loop, a little later
        while models.chains.fleet.deployments[0].in_flight:
            await asyncio.sleep(0.01)


async def test_bound_tools_are_offered_and_their_calls_come_back(
    server: OpenAIServer, cloud: OpenCloud
) -> None:
    call = {"function": {"name": "read_file", "arguments": {"path": "a.py"}}}
    server.brain = lambda *_: {"content": "", "tool_calls": [json.loads(json.dumps(call))]}
    model = routed(await cloud()).bind_tools([read_file], tool_choice="required")
    whole: Any = None
    async for chunk in model.astream([HumanMessage("read")]):
        whole = chunk if whole is None else whole + chunk
    for message in (await model.ainvoke("read"), whole):
        assert [(one["name"], one["args"]) for one in message.tool_calls] == [("read_file", {"path": "a.py"})]
    assert server.requests[0]["tools"][0]["function"]["name"] == "read_file"
    assert server.requests[0]["tool_choice"] == "required"


@pytest.mark.parametrize("schema", [Sky, Sky.model_json_schema()])
async def test_structured_output_has_the_shape_of_its_schema(
    server: OpenAIServer, cloud: OpenCloud, schema: Any
) -> None:
    server.brain = lambda *_: '{"colour": "blue", "clouds": 2}'
    found: Any = await routed(await cloud()).with_structured_output(schema).ainvoke("The sky?")
    assert (found if isinstance(found, dict) else found.model_dump()) == {"colour": "blue", "clouds": 2}


async def test_structured_output_is_repaired_then_asked_afresh_then_of_the_next_model(
    server: OpenAIServer, ollama_server: OllamaServer, cloud: OpenCloud
) -> None:
    server.brain = lambda *_: "The sky is blue."
    ollama_server.brain = lambda *_: '{"colour": "blue", "clouds": 2}'
    plain = {"num_ctx": 65_536, "capabilities": [], "input_price": 1, "output_price": 1}
    models = await cloud(ollama=ollama_server, aliases=BOTH, models={"gpt-double": plain})
    found = await routed(models).with_structured_output(Sky).ainvoke("The sky?")
    assert found == Sky(colour="blue", clouds=2)
    lengths = [len(body["messages"]) for body in server.requests]
    assert lengths == [2, 4, 2], "as it comes, repaired, afresh"
    ollama_server.brain = lambda *_: "I cannot say."
    ollama_server.fail("ignore-format")
    with pytest.raises(ModelStopped, match="kept to the schema"):
        await routed(models).with_structured_output(Sky).ainvoke("The sky?")


class Book:
    """A guard that writes everything down."""

    def __init__(self) -> None:
        self.open: dict[str, Decimal | None] = {}
        self.spent: list[Spent] = []

    async def reserve(self, intent: Intent) -> Reservation:
        assert intent.key not in self.open
        self.open[intent.key] = intent.cost_usd
        return Reservation(intent)

    async def settle(self, reservation: Reservation, spent: Spent) -> None:
        assert (reserved := self.open.pop(reservation.intent.key)) is None or spent.cost_usd <= reserved
        self.spent.append(spent)

    async def release(self, reservation: Reservation) -> None:
        del self.open[reservation.intent.key]


async def test_every_request_is_reserved_and_settled_or_released(
    server: OpenAIServer, cloud: OpenCloud, database: Database
) -> None:
    book = Book()
    models = await cloud(accounts=3, guard=book, db=database)
    server.fail("http-500", times=2)
    server.fail("length", times=1, after=3)
    for number in range(5):
        try:
            await say(models, call=a_call(key=str(number)))
        except ModelStopped:
            continue
    assert book.open == {}
    counted = server.counted.values()
    assert sum(one.input_tokens for one in book.spent) == sum(one.input_tokens for one in counted)
    assert sum(one.output_tokens for one in book.spent) == sum(one.output_tokens for one in counted)
    async with database.pool.connection() as connection:
        row = await (
            await connection.execute("SELECT sum(cost_usd) AS cost, sum(input_tokens) AS i FROM model_calls")
        ).fetchone()
    assert row is not None
    assert row["cost"] == sum(one.cost_usd for one in book.spent)


async def test_a_model_without_a_price_says_so_to_the_budget(server: OpenAIServer, cloud: OpenCloud) -> None:
    seen: list[Decimal | None] = []

    class Strict(Book):
        async def reserve(self, intent: Intent) -> Reservation:
            seen.append(intent.cost_usd)
            return await super().reserve(intent)

    models = await cloud(guard=Strict(), account={"models": ["gpt-double"]}, models={"gpt-double": {}})
    models.chains.fleet.deployments[0].priced = False
    await say(models)
    assert seen == [None]
