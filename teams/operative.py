"""The operative: one turn of its loop, and one review.

A turn is a pure function of the stored history but for the model call in its middle: the system message and
the rendered history, which fits the model's context, go out; a reply with tool calls comes back, however they
were written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall
from langchain_core.tools import BaseTool

from core.json import canonical
from memory.packing import Packed, Window, pack
from models.calls import Call, Reply
from models.following import Failed, first_reply
from models.service import Models
from teams import prompts
from teams.actions import MAX_ACTIONS, VERBS, ParseProblem, parse_actions
from teams.contract import Objective, ResultInvalid
from teams.history import FENCED, WORDING, render
from teams.mcp.declared import outside_tools
from teams.replies import Review, parse_review, review_schema
from teams.team import Operative, Team

__all__ = ["Thought", "ask_review", "conversation", "fit", "render", "think"]

BYTES_PER_TOKEN = 3
"""Careful: code and most languages have more bytes a token."""
NATIVE_VERBS = tuple(verb for verb in VERBS if verb != "bash")
"""A model with tools that writes a ```bash block may only be showing a command; the others are meant."""


@dataclass(frozen=True, slots=True)
class Thought:
    """One turn of an operative."""

    message: AIMessage
    """To be stored: the reply's own text, and its actions as tool calls."""
    problems: tuple[ParseProblem, ...]
    """Actions that could not be read; to be told to the model (`prompts.problems`)."""
    reply: Reply


async def think(
    models: Models,
    alias: str,
    team: Team,
    operative: Operative,
    messages: Sequence[BaseMessage],
    tools: Sequence[BaseTool],
    *,
    call: Call,
    candidate: int = 0,
) -> Thought:
    """What the operative does next. `messages` is the history, brief first, and fits (`fit`).

    Raises what `Models.complete` raises.
    """
    native = models.native_tools(alias, candidate)
    reply = await models.complete(
        alias,
        conversation(models, alias, team, operative, messages, candidate, outside=outside_tools(tools)),
        call=call,
        tools=tools if native else (),
        candidate=candidate,
    )
    calls, problems, way = _actions(reply.message, call.key, native=native)
    kwargs = {"actions": way} if way else {}
    message = AIMessage(
        content=reply.message.content,
        tool_calls=calls,
        additional_kwargs=kwargs,
        response_metadata={"model": reply.model},
    )
    return Thought(message, tuple(problems), reply)


def conversation(
    models: Models,
    alias: str,
    team: Team,
    operative: Operative,
    messages: Sequence[BaseMessage],
    candidate: int = 0,
    *,
    outside: Sequence[BaseTool] = (),
) -> list[BaseMessage]:
    """What a candidate is sent for a history: the system message first, then the history in its words."""
    native = models.native_tools(alias, candidate)
    identity = prompts.system(team, operative, native=native, outside=outside)
    return [identity, *(messages if native else render(messages))]


def fit(
    models: Models,
    alias: str,
    team: Team,
    operative: Operative,
    messages: Sequence[BaseMessage],
    candidate: int = 0,
    *,
    tools: Sequence[BaseTool] = (),
    beside: Sequence[BaseMessage] = (),
) -> Packed:
    """The stored history as it fits a candidate's real context, with what is sent `beside` it.

    What leaves it is to be kept before the result is used. Raises ContextTooSmall, UnknownModel.
    """
    outside = outside_tools(tools)
    native = models.native_tools(alias, candidate)

    def count(history: Sequence[BaseMessage]) -> int:
        sent = conversation(models, alias, team, operative, history, candidate, outside=outside)
        return models.measure([*sent, *beside], tools if native else ())

    window = Window(models.context_tokens(alias, candidate), models.least_answer)
    return pack(messages, window, count, WORDING)


def _actions(
    message: AIMessage, salt: str, *, native: bool
) -> tuple[list[ToolCall], list[ParseProblem], str | None]:
    """The calls of a reply, native ones first of all; how they were written, where that was in the text."""
    if native and (message.tool_calls or message.invalid_tool_calls):
        calls = [_identified(call, index, salt) for index, call in enumerate(message.tool_calls)]
        problems = [
            ParseProblem(
                1, f"the arguments of the call {broken.get('name')} are no JSON: {broken.get('error')}"
            )
            for broken in message.invalid_tool_calls
        ]
        if len(calls) > MAX_ACTIONS:
            problems.append(ParseProblem(1, f"at most {MAX_ACTIONS} actions a reply; the rest was left"))
        return calls[:MAX_ACTIONS], problems, None
    parsed = parse_actions(str(message.text), salt=salt, verbs=NATIVE_VERBS if native else VERBS)
    return parsed.calls, parsed.problems, FENCED if parsed.calls else None


def _identified(call: ToolCall, index: int, salt: str) -> ToolCall:
    if call.get("id"):
        return call
    digest = sha256(f"{salt} {index} {canonical([call['name'], call['args']])}".encode()).hexdigest()
    return {**call, "id": f"call_{digest[:24]}"}


async def ask_review(
    models: Models,
    objective: Objective,
    *,
    team: Team,
    operative: Operative,
    requirement: str,
    diff: str,
    call: Call,
    heard: Callable[[Call, Reply], Awaitable[None]],
    failed: Failed | None = None,
) -> Review:
    """A reviewer's verdict on a change, with one repair turn, along the alias's chain.

    `heard` is told of each reply, usable or not; `failed` of each call without one.

    Raises `ResultInvalid` when the second reply is unusable too, and what `Models.complete` raises.
    """
    most = models.context_tokens(operative.alias) * BYTES_PER_TOKEN // 3
    text = prompts.review(
        objective, team=team, operative=operative, requirement=requirement, diff=diff, most=most
    )
    turns: list[BaseMessage] = [prompts.system(team, operative, native=None), HumanMessage(text)]
    asked, reply = await first_reply(
        models, operative.alias, turns, call=call, failed=failed, schema=review_schema()
    )
    await heard(asked, reply)
    try:
        return parse_review(reply.text)
    except ResultInvalid as invalid:
        repair = HumanMessage(prompts.repair(invalid.errors, team=team, operative=operative))
        turns = [*turns, AIMessage(reply.text), repair]
    again = replace(call, key=f"{call.key}/repair")
    asked, reply = await first_reply(
        models, operative.alias, turns, call=again, failed=failed, schema=review_schema()
    )
    await heard(asked, reply)
    return parse_review(reply.text)
