"""Decisions in the dialects of LangChain's middleware and of Agent Inbox."""

from typing import Any

import pytest

from governance.decisions import DecisionUnreadable, parse_decision

EDITED = {"name": "clarification", "args": {"question": "?", "answer": " blue "}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"decisions": [{"type": "approve"}]}, ("approve", None)),
        ({"decisions": [{"type": "reject", "message": "too risky"}]}, ("reject", "too risky")),
        ({"decisions": [{"type": "respond", "message": "blue"}]}, ("respond", "blue")),
        ({"decisions": [{"type": "edit", "edited_action": EDITED}]}, ("edit", "blue")),
        (
            {"decisions": [{"type": "edit", "edited_action": {"name": "x", "args": {"b": 1}}}]},
            ("edit", '{"b":1}'),
        ),
        ([{"type": "accept", "args": None}], ("approve", None)),
        ([{"type": "ignore", "args": None}], ("reject", None)),
        ([{"type": "response", "args": "blue"}], ("respond", "blue")),
        ([{"type": "edit", "args": {"action": "x", "args": {"answer": "blue"}}}], ("edit", "blue")),
        ({"type": "response", "args": " "}, ("respond", None)),
        ("approve", ("approve", None)),
        ([" Accept "], ("approve", None)),
    ],
)
def test_each_dialect_is_read(value: Any, expected: tuple[str, str | None]) -> None:
    assert parse_decision(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        "",
        "maybe",
        [],
        {},
        {"decisions": []},
        {"decisions": None},
        {"decisions": [{"type": "approve"}, {"type": "reject"}]},
        [{"type": "expired"}],
        [{"type": None}],
        [None],
        [{"type": "edit", "args": {"x": object()}}],
    ],
)
def test_everything_else_is_refused(value: Any) -> None:
    with pytest.raises(DecisionUnreadable):
        parse_decision(value)
