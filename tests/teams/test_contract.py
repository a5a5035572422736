"""A model's text becomes a task result, or errors a model can act on."""

import json
from typing import Any

import pytest

from teams.contract import Clarification, ResultInvalid, parse_result, wire_schema

TEAMS = ("writer", "checker")


def reply(**changes: Any) -> str:
    whole = {
        "reasoning": "It is written.",
        "deliverables": ["docs/text.md"],
        "verified_facts": [],
        "assumptions_made": [],
        "blockers": [],
        "clarification_target": "",
        "clarification_question": "",
        "confidence": 80,
        "status": "COMPLETE",
    }
    merged = {**whole, **changes}
    return json.dumps({name: value for name, value in merged.items() if value is not ...})


@pytest.mark.parametrize(
    "text",
    [
        reply(),
        f"```json\n{reply()}\n```",
        f"Here it is {{as asked}}:\n\n```\n{reply()}\n```\nDone.",
        f"<think>first {reply(status='BLOCKED', blockers=['x'])}</think>\n{reply()}",
        f'a thought without its opening tag {{"x": 1}}</think>{reply()}',
        f"{reply(confidence=10)}\nOn second thought:\n{reply()}",
        json.dumps(json.loads(reply()), indent=2),
    ],
)
def test_the_last_complete_object_is_the_result(text: str) -> None:
    result = parse_result(text, TEAMS)
    assert (result.status, result.confidence) == ("COMPLETE", 80)
    assert result.deliverables == ("docs/text.md",)
    assert result.clarification_needed is None


def test_a_question_becomes_a_clarification() -> None:
    text = reply(
        status="NEEDS_CLARIFICATION", clarification_target="checker", clarification_question="Which?"
    )
    asked = parse_result(text, TEAMS).clarification_needed
    assert asked == Clarification(target_team="checker", question="Which?")


def test_a_person_may_be_asked() -> None:
    text = reply(status="NEEDS_CLARIFICATION", clarification_target="person", clarification_question="Which?")
    asked = parse_result(text, TEAMS).clarification_needed
    assert asked is not None
    assert asked.target_team == "person"


INVALID = [
    ("", "empty"),
    ("I am done.", "no JSON object"),
    ("<think>" + reply(), "thinking"),
    (reply()[:-9], "cut off"),
    (reply() + "\n" + reply()[:-9], "cut off"),
    (reply(status=...), "status: is missing"),
    (reply(confidence=...), "confidence: is missing"),
    (reply(blockers=...), "blockers: is missing"),
    (reply(status="DONE"), "status"),
    (reply(status=None), "status"),
    (reply(confidence="80"), "confidence"),
    (reply(confidence=80.5), "confidence"),
    (reply(confidence=True), "confidence"),
    (reply(confidence=101), "confidence"),
    (reply(confidence=-1), "confidence"),
    (reply(note="x"), "note: is no field"),
    (reply(deliverables="docs/text.md"), "deliverables"),
    (reply(deliverables=[{"path": "x"}]), "deliverables.0"),
    (reply(deliverables=["x"] * 41), "deliverables"),
    (reply(verified_facts=["x" * 5000]), "verified_facts"),
    (reply(reasoning=" "), "reasoning"),
    (reply(blockers=["x"]), "blockers: must be empty"),
    (reply(status="BLOCKED"), "blockers: must name"),
    (reply(clarification_question="Which?", clarification_target="checker"), "clarification_question"),
    (reply(status="NEEDS_CLARIFICATION"), "clarification_target"),
    (reply(status="NEEDS_CLARIFICATION", clarification_target="checker"), "clarification_question"),
    (
        reply(status="NEEDS_CLARIFICATION", clarification_target="nobody", clarification_question="?"),
        "writer, checker, person",
    ),
    (reply().replace('"COMPLETE"}', '"COMPLETE", "status": "BLOCKED"}'), "stands twice"),
    (reply().replace("80", "NaN"), "no JSON number"),
    (reply(reasoning="a\x00b"), "NUL"),
    (reply(reasoning="a\ud800b"), "surrogate"),
    (json.dumps([1, 2]), "no JSON object"),
    ('{"reasoning": ' + '{"a":' * 100_000, "nested"),
    ("{" * 100_000, "brace"),
]


@pytest.mark.parametrize(
    ("text", "expected"), INVALID, ids=[f"{i}-{said}" for i, (_, said) in enumerate(INVALID)]
)
def test_everything_else_is_invalid_and_says_why(text: str, expected: str) -> None:
    with pytest.raises(ResultInvalid) as caught:
        parse_result(text, TEAMS)
    assert expected in " ".join(caught.value.errors)


def test_the_wire_schema_is_flat_and_ends_with_confidence_and_status() -> None:
    schema = wire_schema(TEAMS)
    text = json.dumps(schema)
    for forbidden in (
        "$ref",
        "$defs",
        "anyOf",
        "number",
        "minimum",
        "maximum",
        "default",
        "pattern",
        "maxLength",
    ):
        assert f'"{forbidden}"' not in text
    properties = list(json.loads(text)["properties"])
    assert properties[-2:] == ["confidence", "status"]
    assert schema["required"] == properties
    assert json.loads(text)["properties"]["clarification_target"]["enum"] == [
        "",
        "writer",
        "checker",
        "person",
    ]


def test_a_reply_that_keeps_to_the_schema_is_read() -> None:
    assert list(json.loads(reply())) == wire_schema(TEAMS)["required"]
    assert parse_result(reply(), TEAMS).status == "COMPLETE"
