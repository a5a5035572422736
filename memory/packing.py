"""Context packing: what of a conversation, and of a brief, fits a model's real window. Pure.

A conversation is an anchor, the first message, and turns: a reply with the results of its calls, or a
message that stands alone. When it fills four fifths of the window, the oldest turns leave it, as a batch that
is to be retained first; a page that says in short what they were takes their place. What cannot leave (the
newest turn) is shortened, and its originals are part of the batch. The anchor is never touched.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from models.errors import ContextOverflow

FULL: Final = 0.8
"""Of the window: from here on the conversation is packed."""
ROOM: Final = 0.5
"""Of the window: what is packed is at most so much, so that it is not packed again at the next turn."""
ANSWER: Final = 4_096
"""Tokens that a long answer takes, such as a file: where four fifths would leave fewer, it is time before."""
NEWEST: Final = 2
"""Turns that stay whole as long as there is any other way: what the operative is reacting to."""
PAGE: Final = "packed"
"""In `additional_kwargs`: the page that stands for turns that left."""

Count = Callable[[Sequence[BaseMessage]], int]
"""Tokens of a conversation as it is sent, with all that is sent beside it."""


class ContextTooSmall(ContextOverflow):
    """The objective does not fit the model's context."""

    http_status = 422


@dataclass(frozen=True, slots=True)
class Window:
    """The room that a model has."""

    tokens: int
    """Prompt and answer together, as the server really has it loaded."""
    least_answer: int
    """Tokens that must be left for the answer."""

    @property
    def full(self) -> int:
        """From so many tokens on it is time to pack."""
        return max(int(self.tokens * ROOM), min(int(self.tokens * FULL), self.tokens - ANSWER))

    @property
    def most(self) -> int:
        """The longest prompt that can be answered at all."""
        return self.tokens - self.least_answer


@dataclass(frozen=True, slots=True)
class Wording:
    """How messages are put, which whoever writes them knows."""

    summary: Callable[[Sequence[BaseMessage]], HumanMessage]
    """The page for a batch; an earlier page is part of the batch."""
    shorten: Callable[[BaseMessage], BaseMessage]
    """A message with its longest parts cut; the same object where there is nothing left to cut."""
    lasts: Callable[[BaseMessage], bool]
    """Whether the newest message of its like stays: it is still what the team works on."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A conversation that fits."""

    messages: tuple[BaseMessage, ...]
    batch: tuple[BaseMessage, ...] = ()
    """What is not in it any more, or not whole, as it was, in order: to be retained before this is used."""


def pack(messages: Sequence[BaseMessage], window: Window, count: Count, wording: Wording) -> Packed:
    """The conversation as it fits the window; as it is while it takes less than four fifths of it.

    Raises ContextTooSmall where the anchor, with what must stand beside it, leaves no room for an answer.
    """
    whole = tuple(messages)
    if not whole or count(whole) <= window.full:
        return Packed(whole)
    parts = turns(whole[1:])
    packed = _without_oldest(whole[0], parts, window, count, wording)
    if count(packed.messages) > window.full:
        packed = _shortened(packed, whole, window, count, wording.shorten)
    tokens = count(packed.messages)
    if tokens > window.most:
        alone = count(whole[:1])
        raise ContextTooSmall(
            f"The objective alone takes about {alone:,} tokens, and the model's context has {window.tokens:,}"
            if alone > window.most
            else f"The objective and the newest turn take about {tokens:,} tokens, and the model's context "
            f"has {window.tokens:,}",
            untouched="No part of the objective was left out, and no call was made",
            todo="Shorten the requirement, or give the team a model with a larger context (num_ctx)",
        )
    return packed


def turns(messages: Sequence[BaseMessage]) -> list[tuple[BaseMessage, ...]]:
    """The conversation after its anchor in pieces that only make sense whole.

    A call and its result are in one piece, whatever stands between them.
    """
    ends = _last_results(messages)
    pieces: list[tuple[BaseMessage, ...]] = []
    start = 0
    while start < len(messages):
        end = place = start
        while place <= end:  # a call inside may have its result further on
            end = max(end, ends.get(place, place))
            place += 1
        while end + 1 < len(messages) and isinstance(messages[end + 1], ToolMessage):
            end += 1
        pieces.append(tuple(messages[start : end + 1]))
        start = end + 1
    return pieces


def _last_results(messages: Sequence[BaseMessage]) -> dict[int, int]:
    """Of each reply with calls that are answered, the place of its last result."""
    ends: dict[int, int] = {}
    asked: dict[str, int] = {}
    for place, message in enumerate(messages):
        if isinstance(message, AIMessage):
            asked |= {call["id"]: place for call in message.tool_calls if call["id"]}
        elif isinstance(message, ToolMessage) and message.tool_call_id in asked:
            ends[asked[message.tool_call_id]] = place
    return ends


def is_page(message: BaseMessage) -> bool:
    """Whether a message stands for turns that left."""
    return bool(message.additional_kwargs.get(PAGE))


def _open(turn: Sequence[BaseMessage]) -> bool:
    """Whether a call of the turn still waits for its result."""
    answered = {message.tool_call_id for message in turn if isinstance(message, ToolMessage)}
    calls = (call for message in turn if isinstance(message, AIMessage) for call in message.tool_calls)
    return any(call["id"] not in answered for call in calls)


def _without_oldest(
    anchor: BaseMessage,
    parts: Sequence[tuple[BaseMessage, ...]],
    window: Window,
    count: Count,
    wording: Wording,
) -> Packed:
    """As few of the oldest turns leave as bring it down to half the window; the newest stay."""
    most = max(0, len(parts) - NEWEST)
    closed = next((place for place, turn in enumerate(parts) if _open(turn)), len(parts))
    most = min(most, closed)

    def without(left: int) -> Packed:
        told = _last_word(parts, wording)
        old = [message for turn in parts[:left] for message in turn]
        gone = tuple(message for message in old if message is not told)
        kept = tuple(message for turn in parts[left:] for message in turn)
        if all(is_page(message) for message in gone):
            return Packed((anchor, *(message for turn in parts for message in turn)))
        stays = tuple(message for message in old if message is told)
        return Packed((anchor, wording.summary(gone), *stays, *kept), gone)

    room = int(window.tokens * ROOM)
    left = bisect_left(range(most), True, key=lambda number: count(without(number).messages) <= room)
    return without(left)


def _last_word(parts: Sequence[tuple[BaseMessage, ...]], wording: Wording) -> BaseMessage | None:
    """The newest message that lasts."""
    said = (message for turn in reversed(parts) for message in reversed(turn))
    return next((message for message in said if wording.lasts(message)), None)


def _shortened(
    packed: Packed,
    whole: Sequence[BaseMessage],
    window: Window,
    count: Count,
    shorten: Callable[[BaseMessage], BaseMessage],
) -> Packed:
    """What stays, with its oldest messages cut until it fits; the anchor and the page stay as they are."""
    kept = list(packed.messages)
    cut: list[BaseMessage] = []
    for place in range(1, len(kept)):
        if count(kept) <= window.full:
            break
        if is_page(kept[place]):
            continue
        shorter = shorten(kept[place])
        if shorter is not kept[place]:
            cut.append(kept[place])
            kept[place] = shorter
    gone = {id(message) for message in (*packed.batch, *cut)}
    return Packed(tuple(kept), tuple(message for message in whole if id(message) in gone))
