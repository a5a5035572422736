"""How accounts fail, over real HTTP, and what becomes of the call and of the account."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from core import clock
from core.database import Database
from core.events import EventLog
from models.errors import ContextOverflow, ModelStopped, ModelUnavailable, PoolExhausted
from models.routing.deployment import Account, Deployment
from models.routing.failures import failure_of, retry_after
from models.routing.pool import AccountPool
from tests.doubles.ollama_server import OllamaServer
from tests.doubles.openai_server import FAILURES, FailureName, OpenAIServer
from tests.models.calling import CODER, a_call, say
from tests.models.routing.conftest import KEY, OpenCloud

QUIET = {"silence_seconds": 0.7}

LIVED_THROUGH: list[FailureName] = [
    "http-401", "http-403", "http-404", "http-429", "http-500", "http-503", "http-529", "no-credit", "reset",
    "hang", "hang-after", "cut", "cut-clean", "bad-json", "html", "error-event",
]  # fmt: skip
THE_MODELS_FAULT: dict[FailureName, str] = {
    "empty": "answered nothing",
    "length": "stopped for length",
    "filter": "filter refused",
    "repeat": "went on past",
    "repeat-call": "went on past",
}
THE_REQUESTS_FAULT: dict[FailureName, str] = {
    "http-400": "refused the request",
    "overflow": "refused the prompt",
}


def test_every_failure_of_the_double_is_tried() -> None:
    assert {*LIVED_THROUGH, *THE_MODELS_FAULT, *THE_REQUESTS_FAULT, "redirect", "usage-so-far"} == set(
        FAILURES
    )


@pytest.mark.parametrize("failure", LIVED_THROUGH)
async def test_one_account_fails_and_the_other_answers(
    server: OpenAIServer, cloud: OpenCloud, failure: FailureName
) -> None:
    server.fail(failure, key=KEY.format(0))
    models = await cloud(accounts=2, limits=QUIET)
    for number in range(3):
        reply = await say(models, call=a_call(key=str(number)))
        assert (reply.account, reply.text) == ("a1", "Good morning.")
    assert server.counted[KEY.format(1)].answered == 3


@pytest.mark.parametrize("failure", LIVED_THROUGH)
async def test_where_every_account_fails_the_chain_goes_on_to_ollama(
    server: OpenAIServer, ollama_server: OllamaServer, cloud: OpenCloud, failure: FailureName
) -> None:
    server.fail(failure)
    limits = {**QUIET, "patience_seconds": 0.05}
    models = await cloud(
        accounts=2, limits=limits, ollama=ollama_server, aliases={CODER: ["pool:cloud", "qwen3-coder:30b"]}
    )
    assert models.candidates(CODER) == 2
    with pytest.raises(ModelUnavailable):
        await say(models, candidate=0)
    assert (await say(models, candidate=1)).provider == "ollama"


@pytest.mark.parametrize("failure", THE_MODELS_FAULT)
async def test_what_the_model_did_wrong_is_no_fault_of_the_account(
    server: OpenAIServer, cloud: OpenCloud, failure: FailureName
) -> None:
    server.fail(failure, times=1)
    models = await cloud(models={"gpt-double": {"num_ctx": 65_536, "num_predict": 64}})
    with pytest.raises(ModelStopped, match=THE_MODELS_FAULT[failure]) as stopped:
        await say(models)
    assert stopped.value.input_tokens > 0
    assert stopped.value.account == "a0"
    assert (await say(models)).text == "Good morning."


@pytest.mark.parametrize("failure", THE_REQUESTS_FAULT)
async def test_what_fails_anywhere_is_not_sent_again(
    server: OpenAIServer, cloud: OpenCloud, failure: FailureName
) -> None:
    server.fail(failure)
    models = await cloud(accounts=3)
    with pytest.raises((ModelUnavailable, ContextOverflow), match=THE_REQUESTS_FAULT[failure]):
        await say(models)
    assert len(server.requests) == 1
    server.heal()
    assert (await say(models)).text == "Good morning."


async def test_a_key_revoked_in_mid_run_takes_the_account_out_and_not_the_run(
    server: OpenAIServer, cloud: OpenCloud, database: Database
) -> None:
    server.keys = {KEY.format(0), KEY.format(1)}
    # The cheaper one is asked whenever it is drawn, however slow the machine.
    cheaper = {"a0": {"models": ["gpt-double-mini"]}, "a1": {}}
    models = await cloud(accounts=cheaper, db=database)
    for number in range(6):
        await say(models, call=a_call(key=f"before/{number}"))
    assert server.counted[KEY.format(0)].answered
    server.keys = {KEY.format(1)}
    for number in range(6):
        assert (await say(models, call=a_call(key=f"after/{number}"))).account == "a1"
    (event,) = await EventLog(database).read(a_call().run_id, kinds=["account.excluded"])
    assert (event.payload["account"], event.payload["why"]) == ("a0", "auth")
    assert event.team == "backend_engineering"


async def test_a_wrong_model_name_excludes_that_model_only(server: OpenAIServer, cloud: OpenCloud) -> None:
    models = await cloud(account={"models": ["gpt-typo", "gpt-double"]}, pools={"cloud": {"accounts": ["*"]}})
    for number in range(4):
        assert (await say(models, call=a_call(key=str(number)))).model == "gpt-double"
    assert sum(body["model"] == "gpt-typo" for body in server.requests) <= 1


async def test_an_overflow_goes_to_a_model_with_a_larger_window(
    server: OpenAIServer, cloud: OpenCloud
) -> None:
    small = {"num_ctx": 40_000, "capabilities": ["tools"], "input_price": 0, "output_price": 0}
    large = {**small, "num_ctx": 90_000, "input_price": 100, "output_price": 100}
    server.windows = {"gpt-double-mini": 10}  # less than anybody was told
    models = await cloud(
        account={"models": ["gpt-double", "gpt-double-mini"]},
        models={"gpt-double": large, "gpt-double-mini": small},
    )
    assert models.context_tokens(CODER) == 90_000
    assert (await say(models, "word " * 30)).model == "gpt-double"
    assert [body["model"] for body in server.requests] == ["gpt-double-mini", "gpt-double"]
    with pytest.raises(ContextOverflow, match="the largest window 90000"):
        await say(models, "word " * 100_000)
    assert len(server.requests) == 2


async def test_a_context_error_of_every_window_is_said(server: OpenAIServer, cloud: OpenCloud) -> None:
    server.windows = {"gpt-double": 10}
    models = await cloud()
    with pytest.raises(ContextOverflow, match="No model of the pool has a larger window"):
        await say(models, "word " * 100)


async def test_retry_after_is_kept_to(server: OpenAIServer, cloud: OpenCloud) -> None:
    server.retry_after = "7"
    server.fail("http-429", times=1)
    models = await cloud(limits={"patience_seconds": 0})
    with clock.use(clock.TestClock()) as played:
        with pytest.raises(PoolExhausted, match=r"HTTP 429, for 7 s"):
            await say(models)
        played.advance(6.9)  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(PoolExhausted):
            await say(models, call=a_call(key="2"))
        played.advance(0.2)  # pyright: ignore[reportAttributeAccessIssue]
        assert (await say(models, call=a_call(key="3"))).text == "Good morning."
    assert len(server.requests) == 2


async def test_an_absurd_retry_after_is_bounded(server: OpenAIServer, cloud: OpenCloud) -> None:
    server.retry_after = "31536000"
    server.fail("http-429", times=1)
    models = await cloud(limits={"patience_seconds": 1}, routing={"longest_retry_after": 60})
    with clock.use(clock.TestClock()) as played:
        with pytest.raises(PoolExhausted):
            await say(models)
        played.advance(61)  # pyright: ignore[reportAttributeAccessIssue]
        assert (await say(models, call=a_call(key="2"))).text == "Good morning."


NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "Tue, 01 Jan 2030 12:01:00 GMT"}, 60),
        ({"retry-after": "Tue, 01 Jan 2030 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Tue, 99 Jan 2030 12:01:00 GMT"}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "inf"}, float("inf")),
    ],
)
def test_retry_after_in_seconds_and_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), ConnectionRefusedError(), httpx.ConnectTimeout("")]
)
def test_what_was_never_sent_costs_nothing(error: Exception) -> None:
    assert failure_of(error, NOW).free


async def test_a_wall_clock_that_jumps_changes_nothing(
    server: OpenAIServer, cloud: OpenCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.retry_after = "5"
    server.fail("http-429", times=1)
    models = await cloud(limits={"patience_seconds": 1})
    played = clock.TestClock()
    with clock.use(played):
        with pytest.raises(PoolExhausted):
            await say(models)
        monkeypatch.setattr(played, "now", lambda: datetime(2055, 1, 1, tzinfo=UTC))
        with pytest.raises(PoolExhausted):
            await say(models, call=a_call(key="2"))


async def test_a_breaker_opens_tries_one_call_and_closes(server: OpenAIServer, cloud: OpenCloud) -> None:
    server.fail("http-500", times=3)
    models = await cloud(
        limits={"patience_seconds": 0},
        retry={"attempts": 1},
        routing={"open_after": 2, "first_open_seconds": 10, "longest_open_seconds": 100},
    )
    (deployment,) = models.chains.fleet.deployments
    with clock.use(clock.TestClock()) as played:
        for seconds in (10.1, 20.1):
            with pytest.raises(ModelUnavailable):
                await say(models)
            played.advance(seconds)  # pyright: ignore[reportAttributeAccessIssue]
        assert deployment.failures == 2

        def hold(*_: Any) -> str:
            assert len(server.requests) == 4, "one probe at a time"
            return "Good morning."

        with pytest.raises(ModelUnavailable):  # the probe fails: open for twice as long
            await say(models)
        with pytest.raises(PoolExhausted, match="breaker open"):
            await say(models)
        played.advance(40.1)  # pyright: ignore[reportAttributeAccessIssue]
        server.brain = hold
        said = await asyncio.gather(
            *(say(models, call=a_call(key=str(n))) for n in range(5)), return_exceptions=True
        )
        assert sum(isinstance(one, PoolExhausted) for one in said) == 4
        assert deployment.failures == 0
        server.brain = None
        assert (await say(models)).text == "Good morning."


class Dead:
    """An account whose server is gone."""

    async def exchange(self, *_: Any) -> bool | None:
        raise ConnectionRefusedError("nobody is there")


async def test_five_thousand_accounts_of_which_4990_are_dead(server: OpenAIServer, cloud: OpenCloud) -> None:
    models = await cloud(accounts=10, routing={"first_open_seconds": 600, "longest_open_seconds": 600})
    fleet = models.chains.fleet
    spec = fleet.deployments[0].spec
    dead = [
        Deployment(Account(f"d{number}", "openai", "", local=True), "m", spec, Dead(), priced=True)
        for number in range(4990)
    ]
    fleet.pools["cloud"] = AccountPool("cloud", [*dead, *fleet.deployments], fleet.catalogue.routing)
    for number in range(30):
        assert (await say(models, call=a_call(key=str(number)))).text == "Good morning."
    assert sum(one.calls for one in dead) <= 4990, "nobody dead is asked twice"
    assert len(server.requests) == 30
