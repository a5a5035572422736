"""What a model is sent of a long conversation."""

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage

from memory.packing import is_page
from teams.actions import parse_actions
from teams.history import FENCED, LONGEST_PAGE, cut, render, summary


def call(number: int, **args: str) -> ToolCall:
    return {"name": "write_file", "args": args, "id": f"c{number}", "type": "tool_call"}


def turn(number: int, length: int = 3_000) -> list[BaseMessage]:
    return [
        AIMessage("working", tool_calls=[call(number, path="a", content="y" * length)]),
        ToolMessage("x" * length, tool_call_id=f"c{number}", name="write_file", artifact={"ok": True}),
    ]


def test_turns_that_left_are_told_in_short_with_how_they_ended() -> None:
    failed = ToolMessage(
        "```\nsetup\nE   AssertionError: 21 != 28\n```",
        tool_call_id="2",
        name="bash",
        artifact={"ok": False, "exit_code": 1, "ended_by": "exit"},
    )
    batch = [
        AIMessage("I write it.\n```write a\ny\n```", tool_calls=[call(1, path="a", content="secret " * 50)]),
        ToolMessage("wrote a", tool_call_id="c1", name="write_file", artifact={"ok": True}),
        AIMessage("", tool_calls=[{"name": "bash", "args": {"command": "pytest -q"}, "id": "2"}]),
        failed,
        HumanMessage("---\ncall: work\n---\n# Feedback\n> - the test\x1b[31m is missing"),
    ]
    page = summary(batch)
    assert is_page(page)
    lines = [line for line in str(page.content).splitlines() if line.startswith("> ")]
    assert lines == [
        "> - said: I write it.",
        "> - write_file a: ok",
        "> - bash pytest -q: exit 1: E AssertionError: 21 != 28",
        "> - was told: - the test is missing",
    ]
    assert summary(batch).id == page.id
    later = summary([page, AIMessage("Next.")])
    assert [line for line in str(later.content).splitlines() if line.startswith("> ")] == [
        *lines,
        "> - said: Next.",
    ]


def test_the_page_for_turns_that_left_stays_short_however_many_there_were() -> None:
    page = summary([AIMessage(f"Turn {number}: " + "word " * 100) for number in range(2_000)])
    assert len(str(page.content)) < LONGEST_PAGE + 1_000
    assert "Turn 1999" in str(page.content)


def test_a_message_is_cut_in_its_long_parts_only_and_what_is_stored_stays_whole() -> None:
    reply, result = turn(1)
    assert isinstance(reply, AIMessage)
    before = reply.model_dump(), result.model_dump()
    shorter, short = cut(reply), cut(result)
    assert isinstance(shorter, AIMessage)
    assert shorter.content == "working"
    assert len(shorter.tool_calls[0]["args"]["content"]) < 500
    assert shorter.tool_calls[0]["args"]["path"] == "a"
    assert len(str(short.content)) < 500
    assert cut(shorter) is shorter
    assert cut(short) is short
    assert before == (reply.model_dump(), result.model_dump())


def test_observations_become_one_page_with_their_ends() -> None:
    done = ToolMessage(
        "```\nfailed",
        tool_call_id="1",
        name="bash",
        artifact={"ok": False, "exit_code": 1, "ended_by": "exit"},
    )
    late = ToolMessage(
        "", tool_call_id="2", name="bash", artifact={"ok": False, "exit_code": 124, "ended_by": "timeout"}
    )
    refused = ToolMessage("error: no", tool_call_id="3", name="write_file", artifact={"ok": False})
    unknown = ToolMessage("x", tool_call_id="4", name="fly", status="error")
    heard = ToolMessage("yes", tool_call_id="5", name="request_clarification")
    pages = render([HumanMessage("brief"), AIMessage("go"), done, late, refused, unknown, heard])
    assert [page.type for page in pages] == ["human", "ai", "human"]
    text = str(pages[2].content)
    assert text.startswith(
        "---\ncall: work\nobservation: true\n---\n## Observation 1: bash (exit 1)\n````\n```\nfailed\n````"
    )
    for heading in (
        "## Observation 2: bash (exit 124, timeout)",
        "## Observation 3: write_file (error)",
        "## Observation 4: fly (error)",
        "## Observation 5: request_clarification (ok)",
    ):
        assert heading in text


def test_native_calls_are_told_as_blocks_and_fenced_ones_only_once() -> None:
    calls = [call(1, path="a.py", content="x = 1\n")]
    native, fenced = (
        AIMessage("I write.", tool_calls=calls),
        AIMessage("```write a.py\nx = 1\n```", tool_calls=calls, additional_kwargs={"actions": FENCED}),
    )
    for message in render([native, fenced]):
        assert isinstance(message, AIMessage)
        assert message.tool_calls == []
        assert [found["args"] for found in parse_actions(str(message.content)).calls] == [calls[0]["args"]]
