"""Ollama as it is: each rule over real HTTP, against a server that misbehaves in just that way."""

import asyncio
import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from models.errors import ContextOverflow, ModelStopped, ModelTooSmall
from tests.doubles.failures import FailureName
from tests.doubles.ollama_server import OllamaServer
from tests.models.calling import CODER, SCHEMA, a_call, read_file, say
from tests.models.conftest import Open


@tool
def write_file(path: str, text: str, tags: list[str]) -> str:
    """Write a file."""
    return path + text + str(tags)


async def test_a_reply_carries_text_tokens_model_and_price(ollama_server: OllamaServer, opened: Open) -> None:
    models = await opened(models={"qwen3-coder:30b": {"input_price": 1000, "output_price": 2000.5}})
    reply = await say(models)
    assert (reply.text, reply.provider, reply.model) == ("Good morning.", "ollama", "qwen3-coder:30b")
    assert (reply.input_tokens, reply.output_tokens) == (4, 4)
    assert str(reply.cost_usd) == "0.012002"
    assert reply.seconds > 0


async def test_every_request_names_a_window_and_a_finite_answer(
    ollama_server: OllamaServer, opened: Open
) -> None:
    models = await opened()
    await say(models)
    await say(models, schema=SCHEMA, call=a_call("report"))
    assert len(ollama_server.chats) == 3  # the canary is one of them
    for chat in ollama_server.chats:
        assert chat["options"]["num_ctx"] == 32768
        assert 0 < chat["options"]["num_predict"] <= 8192
        assert chat["keep_alive"] == "30m"


async def test_a_prompt_that_does_not_fit_is_never_sent(ollama_server: OllamaServer, opened: Open) -> None:
    models = await opened()
    with pytest.raises(ContextOverflow, match="Nothing was sent"):
        await say(models, "word " * 25_000)
    assert not ollama_server.chats


async def test_a_long_prompt_leaves_a_shorter_answer(ollama_server: OllamaServer, opened: Open) -> None:
    models = await opened()
    await say(models, "x" * 98_000)  # 28,000 tokens by estimate
    assert ollama_server.chats[0]["options"]["num_predict"] == 32768 - 28_000 - 8


async def test_foreign_letters_are_not_taken_for_english(ollama_server: OllamaServer, opened: Open) -> None:
    models = await opened()
    with pytest.raises(ContextOverflow):
        await say(models, "字" * 40_000)
    assert not ollama_server.chats


async def test_a_window_below_16k_is_refused_for_work_but_not_for_a_plan(
    ollama_server: OllamaServer, opened: Open
) -> None:
    ollama_server.context_length = 8192
    models = await opened()
    assert models.context_tokens(CODER) == 8192
    for kind in ("work", "report", "review"):
        with pytest.raises(ModelTooSmall, match="8192"):
            await say(models, call=a_call(kind))
    assert not ollama_server.chats
    assert (await say(models, call=a_call("plan"))).text == "Good morning."


async def test_a_window_silently_capped_is_found_in_ps(ollama_server: OllamaServer, opened: Open) -> None:
    ollama_server.fail("capped")
    models = await opened()
    with pytest.raises(ModelTooSmall, match="4096"):
        await say(models)
    assert models.context_tokens(CODER) == 4096
    with pytest.raises(ModelTooSmall):
        await say(models)
    assert len(ollama_server.chats) == 1  # the second was refused unsent


async def test_a_window_that_has_grown_since_is_used(ollama_server: OllamaServer, opened: Open) -> None:
    ollama_server.fail("capped")
    models = await opened()
    with pytest.raises(ModelTooSmall):
        await say(models)
    ollama_server.heal()
    assert (await say(models)).text == "Good morning."
    assert models.context_tokens(CODER) == 32_768


async def test_a_model_unloaded_since_is_measured_anew(ollama_server: OllamaServer, opened: Open) -> None:
    ollama_server.fail("capped")
    models = await opened()
    with pytest.raises(ModelTooSmall):
        await say(models)
    ollama_server.windows.clear()
    with pytest.raises(ModelTooSmall, match="4096"):
        await say(models)
    assert len(ollama_server.chats) == 2


async def test_a_short_name_is_found_in_ps_too(ollama_server: OllamaServer, opened: Open) -> None:
    ollama_server.fail("capped")
    models = await opened(override="llama-old")
    with pytest.raises(ModelTooSmall, match="llama-old has a window of 4096"):
        await say(models)


async def test_a_copy_of_a_loaded_model_is_found_in_ps_by_its_digest(
    ollama_server: OllamaServer, opened: Open
) -> None:
    ollama_server.fail("capped")
    ollama_server.models["my-coder:latest"] = ["completion"]
    ollama_server.copies["my-coder:latest"] = "llama-old:latest"
    ollama_server.windows["llama-old:latest"] = 4096
    models = await opened(override="my-coder")
    with pytest.raises(ModelTooSmall, match="my-coder has a window of 4096"):
        await say(models)
    assert list(ollama_server.windows) == ["llama-old:latest"]


async def test_a_prompt_cut_by_a_capped_window_is_no_reply(ollama_server: OllamaServer, opened: Open) -> None:
    ollama_server.fail("capped")
    ollama_server.capped_at = 20_000
    models = await opened()
    with pytest.raises(ContextOverflow, match="20000"):
        await say(models, "word " * 16_000)
    assert (await say(models)).text == "Good morning."  # a short one fits the smaller window


@pytest.mark.parametrize(
    "prompt",
    [
        [HumanMessage("d" * 40_000)],  # one message past the window
        [SystemMessage("system"), HumanMessage("a" * 70_000), HumanMessage("c" * 40)],  # the oldest one goes
    ],
)
async def test_a_prompt_cut_without_a_word_is_no_reply(
    ollama_server: OllamaServer, opened: Open, prompt: list[BaseMessage]
) -> None:
    ollama_server.fail("overflow")  # four tokens where anybody else counts one
    ollama_server.old = True
    models = await opened()
    with pytest.raises(ContextOverflow, match="cut the prompt"):
        await models.complete(CODER, prompt, call=a_call())


async def test_ollama_is_told_to_refuse_what_does_not_fit_rather_than_cut_it(
    ollama_server: OllamaServer, opened: Open
) -> None:
    ollama_server.fail("overflow")
    models = await opened()
    history = [SystemMessage("system"), HumanMessage("a" * 70_000), HumanMessage("c" * 40)]
    with pytest.raises(ContextOverflow, match=r"HTTP 400 request \(70046 tokens\) exceeds the"):
        await models.complete(CODER, history, call=a_call())
    (chat,) = ollama_server.chats
    assert (chat["truncate"], chat["shift"]) == (False, False)
    assert [message["role"] for message in chat["messages"]] == ["system", "user", "user"]


async def test_an_answer_that_goes_in_circles_is_no_reply_and_not_asked_for_again(
    ollama_server: OllamaServer, opened: Open
) -> None:
    ollama_server.fail("cut-clean")
    models = await opened()
    with pytest.raises(ModelStopped, match="went in circles") as stopped:
        await say(models)
    assert stopped.value.raw
    assert "Good morning.".startswith(stopped.value.raw)
    assert stopped.value.output_tokens > 0
    assert len(ollama_server.chats) == 1


async def test_a_prompt_that_ollama_refuses_is_not_sent_again(
    ollama_server: OllamaServer, opened: Open
) -> None:
    ollama_server.fail("too-long")
    models = await opened()
    with pytest.raises(ContextOverflow, match="refused the prompt"):
        await say(models)
    assert len(ollama_server.chats) == 1


async def test_schema_calls_carry_no_tools_and_do_not_think(
    ollama_server: OllamaServer, opened: Open
) -> None:
    models = await opened(aliases={CODER: ["qwen3.5:9b"]})
    reply = await say(models, schema=SCHEMA, tools=[read_file], call=a_call("report"))
    assert set(json.loads(reply.text)) == {"reasoning", "confidence", "status"}
    assert reply.format_honoured is True
    for chat in ollama_server.chats:
        assert chat["format"]
        assert not chat.get("tools")
        assert chat["think"] is False


async def test_tools_go_without_format_and_calls_come_back(ollama_server: OllamaServer, opened: Open) -> None:
    seen: list[Any] = []

    def brain(messages: Any, options: Any, format: Any, tools: Any) -> dict[str, Any]:
        seen.append((messages, format, tools))
        return {
            "content": "",
            "tool_calls": [{"function": {"name": "read_file", "arguments": {"path": "a.py"}}}],
        }

    ollama_server.brain = brain
    models = await opened()
    assert models.native_tools(CODER)
    history = [
        HumanMessage("read"),
        AIMessage("", tool_calls=[{"name": "read_file", "args": {"path": "b"}, "id": "1"}]),
        ToolMessage("text", tool_call_id="1"),
    ]
    reply = await models.complete(CODER, history, call=a_call(), tools=[read_file])
    assert [(call["name"], call["args"]) for call in reply.message.tool_calls] == [
        ("read_file", {"path": "a.py"})
    ]
    messages, format, tools = seen[0]
    assert format is None
    assert tools[0]["function"]["name"] == "read_file"
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]


async def test_the_text_of_a_json_file_stays_a_text(ollama_server: OllamaServer, opened: Open) -> None:
    arguments = {"path": "api.json", "text": '{"openapi": "3.1.0", "paths": {}}', "tags": ["a"]}
    ollama_server.brain = lambda *_: {
        "tool_calls": [{"function": {"name": "write_file", "arguments": arguments}}]
    }
    models = await opened()
    reply = await say(models, tools=[write_file])
    args = reply.message.tool_calls[0]["args"]
    assert json.loads(args["text"]) == {"openapi": "3.1.0", "paths": {}}
    assert args["tags"] == ["a"]


async def test_a_model_without_tools_is_given_none(ollama_server: OllamaServer, opened: Open) -> None:
    models = await opened(override="llama-old")
    assert not models.native_tools(CODER)
    await say(models, tools=[read_file])
    assert not ollama_server.chats[0].get("tools")


async def test_the_canary_is_sent_once_per_model(ollama_server: OllamaServer, opened: Open) -> None:
    models = await opened()
    await asyncio.gather(*(say(models, schema=SCHEMA, call=a_call("report", key=str(n))) for n in range(4)))
    await say(models, schema=SCHEMA, call=a_call("report", key="last"))
    assert len(ollama_server.chats) == 6


async def test_a_model_that_ignores_format_is_prompted_plainly(
    ollama_server: OllamaServer, opened: Open
) -> None:
    ollama_server.fail("ignore-format")
    models = await opened()
    for _ in range(2):
        reply = await say(models, schema=SCHEMA, call=a_call("report"))
        assert reply.format_honoured is False
    assert [bool(chat.get("format")) for chat in ollama_server.chats] == [True, False, False]


async def test_a_model_that_keeps_to_format_only_after_thinking_may_think(
    ollama_server: OllamaServer, opened: Open
) -> None:
    ollama_server.fail("ignore-format-without-thinking")
    models = await opened(aliases={CODER: ["qwen3.5:9b"]})
    reply = await say(models, schema=SCHEMA, call=a_call("report"))
    assert reply.format_honoured is True
    assert [chat["think"] for chat in ollama_server.chats] == [False, True, True]
    assert set(json.loads(reply.text)) == {"reasoning", "confidence", "status"}


async def test_thinking_is_kept_apart_from_the_text(ollama_server: OllamaServer, opened: Open) -> None:
    models = await opened(aliases={CODER: ["qwen3.5:9b"]})
    reply = await say(models)
    assert (reply.text, reply.thinking) == ("Good morning.", "Let me think.")
    assert not reply.message.additional_kwargs


async def test_thinking_left_in_the_text_is_taken_out(ollama_server: OllamaServer, opened: Open) -> None:
    ollama_server.fail("think")
    models = await opened()
    reply = await say(models)
    assert (reply.text, reply.thinking) == ("Good morning.", "First I should look closely.")


async def test_an_answer_cut_for_length_is_no_reply(ollama_server: OllamaServer, opened: Open) -> None:
    ollama_server.fail("length")
    models = await opened()
    with pytest.raises(ModelStopped, match="for length") as stopped:
        await say(models)
    assert "Good morning.".startswith(stopped.value.raw)
    assert stopped.value.raw
    assert len(ollama_server.chats) == 1


async def test_an_answer_longer_than_num_predict_is_no_reply(
    ollama_server: OllamaServer, opened: Open
) -> None:
    ollama_server.brain = lambda *_: "word " * 5000
    models = await opened(models={"qwen3-coder:30b": {"num_predict": 64}})
    with pytest.raises(ModelStopped, match="num_predict 64"):
        await say(models)


@pytest.mark.parametrize("model", ["qwen3-coder:30b", "qwen3.5:9b"])
async def test_an_answer_that_never_ends_is_stopped_and_so_is_thinking(
    ollama_server: OllamaServer, opened: Open, model: str
) -> None:
    ollama_server.fail("repeat", times=1)
    models = await opened(aliases={CODER: [model]}, models={model: {"num_predict": 64}})
    with pytest.raises(ModelStopped, match="went on past"):
        await say(models)
    assert (await say(models)).text == "Good morning."


async def test_an_empty_answer_is_no_reply(ollama_server: OllamaServer, opened: Open) -> None:
    ollama_server.fail("empty")
    models = await opened()
    with pytest.raises(ModelStopped, match="answered nothing"):
        await say(models)


@pytest.mark.parametrize("failure", ["prose", "half-json"])
async def test_what_a_model_says_wrong_reaches_the_team_as_it_is(
    ollama_server: OllamaServer, opened: Open, failure: FailureName
) -> None:
    ollama_server.fail(failure, after=1)  # the canary passes
    models = await opened()
    reply = await say(models, schema=SCHEMA, call=a_call("report"))
    with pytest.raises(ValueError):
        json.loads(reply.text)
