"""A stage's conversation within the real context of the model that is asked next.

Where four fifths of it are full, the oldest turns are put away as one step: they are kept in the audit whole,
what they taught is retained, the team's mental model is refreshed, and the conversation goes on without them.
Each effect has a key made of the turns themselves, so that a node that runs again does what it did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, Final

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.tools import BaseTool
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from core import faults
from core.events import Event
from core.json import JsonObject, JsonValue, canonical, is_array, is_object
from graph import learning, opening
from graph.remembering import FAILURES, told_of
from graph.stage_context import StageContext
from graph.state import StageState
from memory.extraction.subjects import subject_of
from memory.packing import ROOM, Packed, is_page
from memory.records import Draft, Kind, Source
from models.errors import UnknownAlias, UnknownModel
from models.service import Models
from teams.history import tried
from teams.operative import BYTES_PER_TOKEN, fit

PACKED: Final = "context.packed"
"""The kind of event that turns are kept with when they leave a conversation."""
_MESSAGES: Final = "messages"
_AT_ONCE: Final = 20_000
"""Characters that are counted within the event loop."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A conversation that fits the model that is to be asked."""

    messages: tuple[BaseMessage, ...]
    update: tuple[BaseMessage, ...] = ()
    """What makes the stage's own conversation the same; empty where it is."""


async def fitted(
    stage: StageContext,
    state: StageState,
    models: Models,
    candidate: int,
    *,
    tools: Sequence[BaseTool] = (),
    beside: Sequence[BaseMessage] = (),
) -> Fitted:
    """The stage's conversation as it fits a candidate; nothing leaves it before it is kept.

    Raises ContextTooSmall where the objective does not fit, UnknownModel.
    """
    team = stage.team
    fits = partial(
        fit,
        models,
        team.author.alias,
        team,
        team.author,
        state["messages"],
        candidate,
        tools=tools,
        beside=beside,
    )
    # A thread costs more than to count a short conversation; a long one must not hold up the loop.
    short = sum(len(str(message.content)) for message in state["messages"]) <= _AT_ONCE
    packed = fits() if short else await asyncio.to_thread(fits)
    if not packed.batch:
        return Fitted(packed.messages)
    event = await _kept(stage, state, packed, models.context_tokens(team.author.alias, candidate))
    faults.point("context.kept")
    await _remember(stage, state, packed, event)
    faults.point("context.remembered")
    return Fitted(packed.messages, (RemoveMessage(REMOVE_ALL_MESSAGES), *packed.messages))


async def rooms(stage: StageContext, state: StageState) -> list[int]:
    """Bytes that the brief may take with each model that may be asked: half of its context."""
    models = await stage.services.models_for(state["run_id"], stage.team.id)
    alias = stage.team.author.alias
    try:
        windows = [models.context_tokens(alias, number) for number in range(models.candidates(alias))]
    except (UnknownAlias, UnknownModel):
        return []  # the work says so, with what to do about it
    return [int(window * ROOM) * BYTES_PER_TOKEN for window in windows]


async def _kept(stage: StageContext, state: StageState, packed: Packed, window: int) -> Event:
    """Keep what leaves the conversation beside the event that says so."""
    told: list[JsonValue] = [_told(message) for message in packed.batch]
    staying = {message.id for message in packed.messages}
    payload: JsonObject = {
        "left": sum(message.id not in staying for message in packed.batch),
        "cut": sum(message.id in staying for message in packed.batch),
        "window": window,
    }
    digest = sha256(canonical(told).encode()).hexdigest()[:24]
    return await stage.services.events.append(
        state["run_id"],
        PACKED,
        payload,
        team=stage.team.id,
        key=f"{stage.key(state)}/packed/{digest}",
        texts={_MESSAGES: told},
    )


async def _remember(stage: StageContext, state: StageState, packed: Packed, event: Event) -> None:
    """Retain what the batch taught, and refresh the team's page. Memory never fails a stage."""
    suffix = (event.key or "").removeprefix(f"{stage.key(state)}/")
    try:
        open_ = await opening.opened(stage, state)
        if open_ is None:
            return
        drafts = [_draft(stage, state, text, event) for text in tried(packed.batch)]
        if drafts:
            bank = await open_.memories.bank(open_.project, stage.team.id)
            await bank.add(drafts, key=f"{state['run_id']}/{event.key}")
        await stage.events(state, *await learning.learn(stage, state, open_, f"{suffix}/learned"))
    except FAILURES as failure:
        why: JsonObject = {"at": "context", "why": told_of(failure)}
        await stage.event(state, "memory.failed", why, f"{suffix}/failed")


def _draft(stage: StageContext, state: StageState, text: str, event: Event) -> Draft:
    name = stage.key(state)
    return Draft(
        text=text,
        kind=Kind.EXPERIENCE,
        source=Source(state["run_id"], event.seq, event.hash, name),
        speaker=stage.team.id,
        session=f"{state['run_id']}/{name}",
        at=event.at,
        subject=subject_of(text),
    )


async def whole(stage: StageContext, state: StageState) -> list[BaseMessage]:
    """All that was said in the stage, also what has left its conversation, the oldest first.

    A message that was cut stands in it whole. What was forgotten since is not there.
    """
    services, run_id = stage.services, state["run_id"]
    prefix = f"{stage.key(state)}/packed/"
    events = [
        event for event in await services.events.read(run_id, kinds=[PACKED]) if _of(event, stage, prefix)
    ]
    if not events:
        return list(state["messages"])
    texts = await services.events.texts(run_id, [event.seq for event in events])
    earlier: dict[str, BaseMessage] = {}
    for event in events:
        value: Any = texts[event.seq, _MESSAGES].value
        for message in map(_read, value if is_array(value) else ()):
            if message is not None and message.id is not None:
                earlier.setdefault(message.id, message)
    now = [message for message in state["messages"] if not is_page(message) and message.id not in earlier]
    return [*now[:1], *earlier.values(), *now[1:]]


def _of(event: Event, stage: StageContext, prefix: str) -> bool:
    return event.team == stage.team.id and (event.key or "").startswith(prefix)


def _told(message: BaseMessage) -> JsonObject:
    """A message as the audit keeps it."""
    told: dict[str, Any] = {"type": message.type, "id": message.id, "text": str(message.text)}
    if isinstance(message, AIMessage):
        told["calls"] = [{name: call[name] for name in ("id", "name", "args")} for call in message.tool_calls]
    if isinstance(message, ToolMessage):
        artifact: Any = message.artifact
        told |= {"call": message.tool_call_id, "tool": message.name}
        told["ended"] = (
            {name: artifact[name] for name in ("ok", "exit_code", "ended_by") if name in artifact}
            if is_object(artifact)
            else {}
        )
    return told


def _read(told: Any) -> AnyMessage | None:
    if not is_object(told):
        return None
    text, key = str(told.get("text", "")), told.get("id")
    if told.get("type") == "tool":
        return ToolMessage(
            text,
            tool_call_id=str(told.get("call")),
            name=told.get("tool"),
            artifact=told.get("ended"),
            id=key,
        )
    if told.get("type") == "ai":
        calls = [
            ToolCall(name=call["name"], args=call["args"], id=call["id"]) for call in told.get("calls", ())
        ]
        return AIMessage(text, tool_calls=calls, id=key)
    return HumanMessage(text, id=key)
