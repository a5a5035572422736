"""A turn of the loop against a played Ollama: with native tools, with fenced blocks, and a review."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from core.settings import Settings
from memory.packing import ContextTooSmall
from models.calls import Call, CallKind, Reply
from models.service import Models
from teams.contract import Objective, ResultInvalid
from teams.operative import Thought, ask_review, conversation, fit, think
from teams.team import Team
from tests.doubles.fixtures import ollama_server
from tests.doubles.ollama_server import OllamaServer

__all__ = ["ollama_server"]

CODER = "factory/coder"
BLOCK = "I write.\n```write docs/text.md\nhello\n```\n"


@tool
def read_file(path: str) -> str:
    """Read a file."""
    return path


def a_call(kind: CallKind = "work", key: str = "writer.1/turn/1") -> Call:
    return Call(run_id="run-1", team="writer", operative="author", kind=kind, key=key)


@pytest.fixture
async def native(ollama_server: OllamaServer) -> AsyncIterator[Models]:
    async with await Models.open(Settings(ollama_url=ollama_server.url), None) as models:
        assert models.native_tools(CODER)
        yield models


@pytest.fixture
async def fenced(ollama_server: OllamaServer) -> AsyncIterator[Models]:
    async with await Models.open(
        Settings(ollama_url=ollama_server.url), None, override="llama-old"
    ) as models:
        assert not models.native_tools(CODER)
        yield models


def says(server: OllamaServer, *replies: str | dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Let the server say these, one a call; the messages that it was sent."""
    seen: list[list[dict[str, Any]]] = []
    waiting = list(replies)

    def brain(messages: Any, options: Any, format: Any, tools: Any) -> Any:
        seen.append(messages)
        return waiting.pop(0)

    server.brain = brain
    return seen


async def turn(models: Models, team: Team, *messages: BaseMessage, key: str = "writer.1/turn/1") -> Thought:
    history = messages or (HumanMessage("brief"),)
    return await think(models, CODER, team, team.author, history, [read_file], call=a_call(key=key))


async def test_blocks_become_tool_calls_of_the_stored_message(
    ollama_server: OllamaServer, fenced: Models, writer: Team
) -> None:
    seen = says(ollama_server, BLOCK, BLOCK)
    thought = await turn(fenced, writer)
    [call] = thought.message.tool_calls
    assert (call["name"], call["args"]) == ("write_file", {"path": "docs/text.md", "content": "hello\n"})
    assert thought.message.content == BLOCK.strip() or thought.message.content == BLOCK
    assert thought.problems == ()
    assert seen[0][0]["role"] == "system"
    assert "````write src/example/greeting.py" in seen[0][0]["content"]
    again = await turn(fenced, writer, key="writer.1/turn/2")
    assert again.message.tool_calls[0]["id"] != call["id"]


async def test_the_history_is_text_for_a_model_without_tools(
    ollama_server: OllamaServer, fenced: Models, writer: Team
) -> None:
    seen = says(ollama_server, BLOCK, "Done.")
    first = (await turn(fenced, writer)).message
    result = ToolMessage(
        "wrote it", tool_call_id=first.tool_calls[0]["id"] or "", name="write_file", artifact={"ok": True}
    )
    last = await turn(fenced, writer, HumanMessage("brief"), first, result)
    assert last.message.tool_calls == []
    assert [message["role"] for message in seen[1]] == ["system", "user", "assistant", "user"]
    assert not any(message.get("tool_calls") for message in seen[1])
    assert "## Observation 1: write_file (ok)" in seen[1][3]["content"]


async def test_native_calls_are_taken_as_they_are(
    ollama_server: OllamaServer, native: Models, writer: Team
) -> None:
    call = {"function": {"name": "read_file", "arguments": {"path": "a"}}}
    seen = says(ollama_server, {"content": "I read.\n```bash\nls\n```", "tool_calls": [call]})
    thought = await turn(native, writer)
    assert [(c["name"], c["args"]) for c in thought.message.tool_calls] == [("read_file", {"path": "a"})]
    assert all(c["id"] for c in thought.message.tool_calls)
    assert "````write" not in seen[0][0]["content"]


async def test_a_native_model_that_writes_a_block_is_understood_but_a_shown_command_is_not_run(
    ollama_server: OllamaServer, native: Models, writer: Team
) -> None:
    says(ollama_server, BLOCK, "Run it:\n```bash\nrm -rf src\n```")
    assert [c["name"] for c in (await turn(native, writer)).message.tool_calls] == ["write_file"]
    assert (await turn(native, writer)).message.tool_calls == []


async def test_a_malformed_block_is_a_problem_to_tell(
    ollama_server: OllamaServer, fenced: Models, writer: Team
) -> None:
    says(ollama_server, "```write\nx\n```")
    thought = await turn(fenced, writer)
    assert thought.message.tool_calls == []
    assert "names no file" in str(thought.problems[0])


def test_a_long_history_is_packed_into_the_window_and_keeps_the_brief(fenced: Models, writer: Team) -> None:
    brief = HumanMessage("anchor " * 1_000)
    turns: list[BaseMessage] = [brief]
    for number in range(400):
        turns += [AIMessage("go"), ToolMessage("x" * 6_000, tool_call_id=str(number), name="bash")]
    packed = fit(fenced, CODER, writer, writer.author, turns)
    sent = conversation(fenced, CODER, writer, writer.author, packed.messages)
    assert sent[1] == brief
    assert fenced.measure(sent) <= fenced.context_tokens(CODER) * 0.8
    assert [*packed.batch, *packed.messages[2:]] == turns[1:], "what left is handed over, whole and in order"
    again = fit(fenced, CODER, writer, writer.author, packed.messages)
    assert again.messages == packed.messages, "there is room for some turns before it is packed again"


def test_an_objective_that_does_not_fit_is_refused_with_its_size(fenced: Models, writer: Team) -> None:
    brief = HumanMessage("anchor " * 40_000)
    with pytest.raises(ContextTooSmall, match=r"objective alone takes about 8\d,\d{3} tokens.*has 32,768"):
        fit(fenced, CODER, writer, writer.author, [brief])


GOOD = json.dumps({"findings": ["docs/text.md: says nothing"], "verdict": "revise"})


async def test_a_review_is_read_after_one_repair(
    ollama_server: OllamaServer, native: Models, writer: Team, objective: Objective
) -> None:
    greeting = json.dumps({"greeting": "Good morning."})
    replies = iter([json.dumps({"findings": [], "verdict": "revise"}), GOOD])

    def brain(messages: Any, options: Any, format: Any, tools: Any) -> str:
        # The canary comes first, with a schema of its own.
        return next(replies) if "call: review" in str(messages) else greeting

    ollama_server.brain = brain
    reviewer = writer.reviewer
    assert reviewer is not None
    spent: dict[str, Reply] = {}

    async def heard(call: Call, reply: Reply) -> None:
        spent[call.key] = reply

    review = await ask_review(
        native,
        objective,
        team=writer,
        operative=reviewer,
        requirement="Say hello",
        diff="+hello",
        call=a_call("review"),
        heard=heard,
    )
    assert (review.verdict, review.findings) == ("revise", ("docs/text.md: says nothing",))
    key = a_call("review").key
    assert list(spent) == [key, f"{key}/repair"], "a reply that cannot be used was paid for too"


async def test_a_review_that_stays_unusable_is_an_error_and_no_approval(
    ollama_server: OllamaServer, native: Models, writer: Team, objective: Objective
) -> None:
    ollama_server.brain = lambda *_: json.dumps({"findings": [], "verdict": "revise"})

    async def heard(_call: Call, _reply: Reply) -> None: ...

    with pytest.raises(ResultInvalid, match="findings"):
        await ask_review(
            native,
            objective,
            team=writer,
            operative=writer.author,
            requirement="Say hello",
            diff="+hello",
            call=a_call("review"),
            heard=heard,
        )
