"""Ollama when it fails: what is tried again, what ends the call, and what a person is told."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from models.answer import overhearing
from models.errors import ModelUnavailable, UnknownModel
from models.service import Models
from tests.doubles.failures import FailureName
from tests.doubles.ollama_server import OllamaServer
from tests.models.calling import a_call, read_file, say
from tests.models.conftest import Open

TRANSIENT: list[FailureName] = ["http-500", "http-503", "reset", "cut", "bad-line", "error-line"]


@pytest.mark.parametrize("failure", TRANSIENT)
async def test_what_may_pass_is_tried_again(
    ollama_server: OllamaServer, opened: Open, failure: FailureName
) -> None:
    ollama_server.fail(failure, times=2)
    models = await opened()
    assert (await say(models)).text == "Good morning."
    assert len(ollama_server.chats) == 3


async def test_who_only_looks_on_keeps_no_broken_answer_from_being_tried_again(
    ollama_server: OllamaServer, opened: Open
) -> None:
    seen: list[str] = []
    ollama_server.fail("cut", times=1)
    models = await opened()
    mark = overhearing.set(seen.append)
    try:
        assert (await say(models)).text == "Good morning."
    finally:
        overhearing.reset(mark)
    assert len(ollama_server.chats) == 2
    assert seen[-1] == "Good morning."
    assert seen.count(seen[0]) == 2  # from its beginning again


@pytest.mark.parametrize("failure", TRANSIENT)
async def test_what_does_not_pass_ends_as_unavailable(
    ollama_server: OllamaServer, opened: Open, failure: FailureName
) -> None:
    ollama_server.fail(failure)
    models = await opened()
    with pytest.raises(ModelUnavailable, match="failed 3 times"):
        await say(models)
    assert len(ollama_server.chats) == 3


async def test_a_server_that_stays_silent_is_tried_again(ollama_server: OllamaServer, opened: Open) -> None:
    ollama_server.fail("hang", times=1)
    models = await opened(limits={"silence_seconds": 0.5})
    assert (await say(models)).text == "Good morning."


async def test_a_slow_first_byte_is_waited_for(ollama_server: OllamaServer, opened: Open) -> None:
    ollama_server.fail("slow")
    models = await opened()
    assert (await say(models)).text == "Good morning."
    assert len(ollama_server.chats) == 1


async def test_a_call_has_one_time_limit_for_all_its_tries(ollama_server: OllamaServer, opened: Open) -> None:
    ollama_server.fail("hang")
    models = await opened(limits={"call_seconds": 0.3})
    with pytest.raises(ModelUnavailable, match=r"did not answer within 0\.3 s"):
        await say(models)


async def test_a_server_that_went_away_is_unavailable(ollama_server: OllamaServer, opened: Open) -> None:
    models = await opened()
    ollama_server.__exit__()
    with pytest.raises(ModelUnavailable, match="failed 3 times"):
        await say(models)
    ollama_server.__enter__()


async def test_a_model_removed_in_mid_run_says_how_to_get_it_back(
    ollama_server: OllamaServer, opened: Open
) -> None:
    ollama_server.fail("gone", after=1)
    models = await opened()
    await say(models)
    with pytest.raises(UnknownModel, match="ollama pull qwen3-coder:30b"):
        await say(models)
    assert len(ollama_server.chats) == 2


async def test_a_request_that_is_refused_is_not_repeated(ollama_server: OllamaServer, opened: Open) -> None:
    models = await opened()
    ollama_server.models["qwen3-coder:30b"] = ["completion"]  # after it had promised tools
    with pytest.raises(ModelUnavailable, match="does not support tools"):
        await say(models, tools=[read_file])
    assert len(ollama_server.chats) == 1


@pytest.mark.parametrize("most", [1, 3])
async def test_calls_to_one_ollama_wait_for_their_turn(
    ollama_server: OllamaServer, opened: Open, most: int
) -> None:
    together = threading.Barrier(most)

    def brain(*_: Any) -> str:
        together.wait(10)  # until as many as are allowed are here
        return "Good morning."

    ollama_server.brain = brain
    models = await opened(limits={"parallel_calls": most})
    replies = await asyncio.gather(*(say(models, call=a_call(key=str(n))) for n in range(6)))
    assert [reply.text for reply in replies] == ["Good morning."] * 6
    assert ollama_server.most_at_once == most


async def test_a_cancelled_call_closes_its_request(ollama_server: OllamaServer, opened: Open) -> None:
    ollama_server.fail("hang")
    models = await opened()
    task = asyncio.create_task(say(models))
    async with asyncio.timeout(30):
        while not ollama_server.chats:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not ollama_server.disconnects:
            await asyncio.sleep(0.01)


async def test_errors_carry_no_secret(ollama_server: OllamaServer, tmp_path: Path) -> None:
    ollama_server.error = "bad key sk-proj-0123456789abcdefghij"
    ollama_server.fail("http-500")
    file = tmp_path / "models.toml"
    file.write_text("[retry]\nattempts = 1\n")
    url = ollama_server.url.replace("//", "//me:correct-horse-battery@")
    async with await Models.open(Settings(ollama_url=url, models_file=file), None) as models:
        with pytest.raises(ModelUnavailable, match="HTTP 500 bad key") as failed:
            await say(models)
    assert "sk-proj" not in str(failed.value)
    assert "battery" not in str(failed.value)
