"""What a model is sent of a long conversation."""

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage

from teams.actions import parse_actions
from teams.history import FENCED, bounded, render, size

BRIEF = "---\ncall: work\n---\n# Requirement\n> " + "anchor " * 500


def call(number: int, **args: str) -> ToolCall:
    return {"name": "write_file", "args": args, "id": f"c{number}", "type": "tool_call"}


def turn(number: int, length: int = 3_000) -> list[BaseMessage]:
    return [
        AIMessage("working", tool_calls=[call(number, path="a", content="y" * length)]),
        ToolMessage("x" * length, tool_call_id=f"c{number}", name="write_file", artifact={"ok": True}),
    ]


def conversation(turns: int) -> list[BaseMessage]:
    return [HumanMessage(BRIEF), *(message for number in range(turns) for message in turn(number))]


def test_what_fits_is_left_alone() -> None:
    messages = conversation(3)
    assert bounded(messages, size(messages)) == messages


def test_old_observations_are_shortened_first_and_the_oldest_first() -> None:
    messages = conversation(6)
    kept = bounded(messages, size(messages) - 2_000)
    assert len(str(kept[2].content)) < 500
    assert kept[3:] == messages[3:]
    assert kept[:2] == messages[:2]


def test_the_brief_and_the_newest_turns_are_never_touched() -> None:
    messages = conversation(20)
    kept = bounded(messages, 1)
    assert kept[0] == messages[0]
    assert kept[-4:] == messages[-4:]
    assert size(kept) < size(messages) / 2
    assert [type(message) for message in kept] == [type(message) for message in messages]
    assert all(len(str(m.content)) < 500 for m in kept[1:-4])
    assert all(len(m.tool_calls[0]["args"]["content"]) < 500 for m in kept[1:-4] if isinstance(m, AIMessage))


def test_all_observations_of_the_newest_replies_stay_whole() -> None:
    many: list[BaseMessage] = [ToolMessage("x" * 900, tool_call_id=f"m{n}", name="bash") for n in range(8)]
    messages = [
        *conversation(3),
        AIMessage("a"),
        *many,
        AIMessage("b"),
        ToolMessage("x" * 900, tool_call_id="z"),
    ]
    assert bounded(messages, 1)[-11:] == messages[-11:]


def test_shortening_does_not_change_what_is_stored() -> None:
    messages = conversation(8)
    before = [message.model_dump() for message in messages]
    bounded(messages, 1)
    assert [message.model_dump() for message in messages] == before


def test_a_short_conversation_is_never_shortened() -> None:
    messages: list[BaseMessage] = [HumanMessage(BRIEF)]
    assert bounded(messages, 1) == messages
    assert bounded([], 1) == []


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
