"""Calls through a pool, over real HTTP: who answers, and what happens when it does not."""

from tests.doubles.openai_server import OpenAIServer
from tests.models.calling import SCHEMA, a_call, say
from tests.models.routing.conftest import KEY, MODEL, OpenCloud


async def test_a_reply_carries_account_tokens_and_price(server: OpenAIServer, cloud: OpenCloud) -> None:
    models = await cloud()
    assert models.announcement is None
    reply = await say(models)
    assert (reply.text, reply.provider, reply.account, reply.model) == (
        "Good morning.", "openai", "a0", MODEL,
    )  # fmt: skip
    assert (reply.input_tokens, reply.output_tokens) == (4, 4)
    assert str(reply.cost_usd) == "0.012"
    assert server.counted[KEY.format(0)].answered == 1


async def test_tokens_that_a_server_tells_with_every_piece_are_counted_once(
    server: OpenAIServer, cloud: OpenCloud
) -> None:
    models = await cloud()
    server.fail("usage-so-far")
    reply = await say(models)
    counted = server.counted[KEY.format(0)]
    assert (reply.input_tokens, reply.output_tokens) == (counted.input_tokens, counted.output_tokens)
    assert str(reply.cost_usd) == "0.012"


async def test_a_failing_account_is_followed_by_the_next(server: OpenAIServer, cloud: OpenCloud) -> None:
    models = await cloud(accounts=3)
    server.keys = {KEY.format(2)}
    assert (await say(models)).account == "a2"
    assert server.counted[KEY.format(2)].answered == 1
    for number in range(10):
        await say(models, call=a_call(key=str(number)))
    assert sum(counted.requests for counted in server.counted.values()) <= 13, "the refused are left alone"


async def test_a_schema_goes_as_response_format(server: OpenAIServer, cloud: OpenCloud) -> None:
    models = await cloud()
    reply = await say(models, schema=SCHEMA, call=a_call("report"))
    assert reply.format_honoured is True
    assert '"confidence"' in reply.text
    assert server.requests[0]["response_format"]["type"] == "json_schema"
