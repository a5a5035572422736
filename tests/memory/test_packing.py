"""Context packing: the anchor stays whole, nothing is lost, the result fits, and calls keep their results."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from memory.packing import PAGE, ContextTooSmall, Packed, Window, Wording, is_page, pack, turns

WINDOW = Window(8_000, 500)
_CUT = 40


def count(messages: object) -> int:
    """A token a character, and eight for each message."""
    assert isinstance(messages, (list, tuple))
    return sum(8 + len(str(message.content)) + _arguments(message) for message in messages)  # pyright: ignore


def _arguments(message: BaseMessage) -> int:
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return sum(len(str(call["args"])) for call in calls)


def shorten(message: BaseMessage) -> BaseMessage:
    text = str(message.content)
    return message if len(text) <= _CUT else message.model_copy(update={"content": text[:_CUT]})


def summary(batch: object) -> HumanMessage:
    assert isinstance(batch, tuple)
    return HumanMessage(f"{len(batch)} messages left", id="page", additional_kwargs={PAGE: ["x"]})


WORDING = Wording(summary, shorten, lambda message: bool(message.additional_kwargs.get("lasts")))


@st.composite
def conversations(draw: st.DrawFn) -> list[BaseMessage]:
    """An anchor, then turns of any length: calls with their results now or later, words, pages."""
    messages: list[BaseMessage] = [HumanMessage("a" * draw(st.integers(1, 3_000)), id="anchor")]
    if draw(st.booleans()):
        messages.append(HumanMessage("earlier", id="earlier", additional_kwargs={PAGE: ["y"]}))
    late: list[BaseMessage] = []
    for number in range(draw(st.integers(0, 14))):
        length = draw(st.integers(0, 2_500))
        if draw(st.integers(0, 4)) == 0:
            extra = {"lasts": True} if draw(st.booleans()) else {}
            messages.append(HumanMessage("w" * length, id=f"w{number}", additional_kwargs=extra))
            continue
        calls = [
            {"name": "bash", "args": {"command": "c"}, "id": f"{number}.{each}", "type": "tool_call"}
            for each in range(draw(st.integers(0, 3)))
        ]
        messages.append(AIMessage("r", tool_calls=calls, id=f"r{number}"))
        for call in calls:
            result = ToolMessage("o" * length, tool_call_id=call["id"], id=f"o{call['id']}")
            (late if draw(st.integers(0, 9)) == 0 else messages).append(result)
        if draw(st.booleans()):
            messages += late
            late = []
    return messages


def _answers(messages: tuple[BaseMessage, ...]) -> set[str]:
    return {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}


def _calls(messages: tuple[BaseMessage, ...]) -> set[str]:
    return {call["id"] or "" for m in messages if isinstance(m, AIMessage) for call in m.tool_calls}


@settings(max_examples=300, deadline=None)
@given(conversations())
def test_what_is_packed_fits_keeps_its_anchor_its_order_and_its_pairs_and_loses_nothing(
    messages: list[BaseMessage],
) -> None:
    before = [message.model_dump() for message in messages]
    try:
        packed = pack(messages, WINDOW, count, WORDING)
    except ContextTooSmall:
        # Only where what may not leave is too long even when it is cut.
        stuck = [messages[0], *(shorten(message) for message in messages[1:])]
        assert count(stuck) > WINDOW.most
        return
    finally:
        assert [message.model_dump() for message in messages] == before, "what is stored is not touched"
    kept = packed.messages
    assert kept[0] is messages[0], "the anchor is whole"
    assert count(kept) <= WINDOW.most
    if count(messages) <= WINDOW.full:
        assert kept == tuple(messages)
    # Nothing is lost: what is not in it as it was, is in the batch as it was.
    here = {id(message) for message in (*kept, *packed.batch)}
    assert all(id(message) in here for message in messages)
    # Order: ids of what stays, and of the batch, come as they came.
    order = [message.id for message in messages]
    for part in (kept, packed.batch):
        places = [order.index(message.id) for message in part if message.id in order]
        assert places == sorted(places)
    # Pairs: a call stays with its results, all of them or none.
    assert _answers(kept) & _calls(tuple(messages)) <= _calls(kept)
    assert _answers(tuple(messages)) & _calls(kept) <= _answers(kept)
    assert sum(is_page(message) for message in kept) <= 1
    words = [message for message in messages[1:] if WORDING.lasts(message)]
    assert not words or words[-1].id in {message.id for message in kept}


@given(conversations())
def test_turns_hold_every_message_once_and_no_result_apart_from_its_call(messages: list[BaseMessage]) -> None:
    parts = turns(messages)
    assert [message for part in parts for message in part] == messages
    for part in parts:
        assert _answers(part) <= _calls(part)


def talk(turns: int, length: int = 900) -> list[BaseMessage]:
    messages: list[BaseMessage] = [HumanMessage("anchor", id="anchor")]
    for number in range(turns):
        call = {"name": "bash", "args": {}, "id": str(number), "type": "tool_call"}
        messages.append(AIMessage("go", tool_calls=[call], id=f"r{number}"))
        messages.append(ToolMessage("o" * length, tool_call_id=str(number), id=f"o{number}"))
    return messages


def test_at_four_fifths_the_oldest_turns_leave_until_half_is_free() -> None:
    window = Window(10_000, 500)
    fits = talk(6)
    assert pack(fits, window, count, WORDING) == Packed(tuple(fits))
    packed = pack(talk(9), window, count, WORDING)
    assert [message.id for message in packed.messages[:3]] == ["anchor", "page", "r4"]
    assert count(packed.messages) <= 5_000


def test_packing_what_is_packed_changes_nothing() -> None:
    packed = pack(talk(30), WINDOW, count, WORDING)
    assert pack(packed.messages, WINDOW, count, WORDING) == Packed(packed.messages)


def test_a_call_that_waits_for_its_answer_never_leaves() -> None:
    messages = talk(20)
    del messages[4]  # the result of the second call
    packed = pack(messages, WINDOW, count, WORDING)
    assert "r1" in {message.id for message in packed.messages}


def test_a_newest_turn_that_is_too_long_is_cut_and_its_original_handed_over() -> None:
    packed = pack(talk(2, 6_000), WINDOW, count, WORDING)
    assert [message.id for message in packed.messages] == ["anchor", "r0", "o0", "r1", "o1"]
    assert [len(str(message.content)) for message in packed.batch] == [6_000, 6_000]
    assert count(packed.messages) <= WINDOW.full


def test_an_anchor_that_does_not_fit_is_an_error_and_nothing_is_cut() -> None:
    messages = [HumanMessage("a" * 9_000), *talk(3)[1:]]
    with pytest.raises(ContextTooSmall, match=r"about 9,008 tokens, and the model's context has 8,000"):
        pack(messages, WINDOW, count, WORDING)
