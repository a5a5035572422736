"""The smaller JSON replies: a reviewer's verdict, an answer to another team, a plan.

Each has a flat wire schema and a strict reader that raises `ResultInvalid`, as the task result has.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.json import JsonObject
from teams.contract import PERSON
from teams.extraction import ResultInvalid, last_object, sentences

Verdict = Literal["approve", "revise"]
"""approve: the change may go on. revise: the findings must be answered first."""


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Review(_Reply):
    """What a reviewer says about a change."""

    findings: tuple[str, ...] = Field(max_length=40, strict=False)
    verdict: Verdict


class Answer(_Reply):
    """What an asked team says: an answer, or whom it would have to ask, or that it does not know."""

    reasoning: str
    answer: str
    needs_target: str
    """A team's id, or "" when the answer needs nobody else."""
    needs_question: str
    known: bool


class Plan(BaseModel):
    """The run's title, and the teams it does not need."""

    model_config = ConfigDict(frozen=True)

    title: str
    skip: tuple[tuple[str, str], ...]
    """(team id, reason); a reason may be "" and the planner's wish is then refused by the graph."""


class _PlanWire(_Reply):
    reasoning: str
    title: str = Field(max_length=400)
    skip: list[str] = Field(max_length=40)


_Shape = TypeVar("_Shape", bound=BaseModel)


def _read(text: str, shape: type[_Shape]) -> _Shape:
    try:
        return shape.model_validate(last_object(text))
    except ValidationError as invalid:
        raise ResultInvalid(sentences(invalid)) from None


def parse_review(text: str) -> Review:
    """The review in a reviewer's raw text; a demand for revision without a finding is refused."""
    review = _read(text, Review)
    findings = tuple(finding.strip() for finding in review.findings if finding.strip())
    if review.verdict == "revise" and not findings:
        raise ResultInvalid(["findings: must say what to change when the verdict is revise"])
    return Review(findings=findings, verdict=review.verdict)


def parse_answer(text: str) -> Answer:
    """The answer in the asked team's raw text; exactly one of answering, asking on and not knowing."""
    answer = _read(text, Answer)
    target, question = answer.needs_target.strip(), answer.needs_question.strip()
    if bool(target) != bool(question):
        raise ResultInvalid(["needs_target and needs_question: give both to ask on, or leave both empty"])
    if answer.known and not target and not answer.answer.strip():
        raise ResultInvalid(["answer: must not be empty when known is true"])
    return answer.model_copy(update={"needs_target": target, "needs_question": question})


def parse_plan(text: str) -> Plan:
    """The plan in the planner's raw text."""
    wire = _read(text, _PlanWire)
    pairs = (entry.partition(":") for entry in wire.skip)
    skip = tuple((team.strip().strip("`"), reason.strip()) for team, _, reason in pairs)
    return Plan(title=" ".join(wire.title.split()), skip=skip)


def _object(properties: JsonObject) -> JsonObject:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def review_schema() -> JsonObject:
    """The wire schema of a review."""
    return _object(
        {
            "findings": {"type": "array", "items": {"type": "string"}, "maxItems": 40},
            "verdict": {"type": "string", "enum": ["approve", "revise"]},
        }
    )


def answer_schema(team_ids: Iterable[str]) -> JsonObject:
    """The wire schema of an answer, with the teams that may be asked on."""
    return _object(
        {
            "reasoning": {"type": "string"},
            "answer": {"type": "string"},
            "needs_target": {"type": "string", "enum": ["", *dict.fromkeys(team_ids), PERSON]},
            "needs_question": {"type": "string"},
            "known": {"type": "boolean"},
        }
    )


def plan_schema() -> JsonObject:
    """The wire schema of a plan; `skip` holds lines "team_id: reason"."""
    return _object(
        {
            "reasoning": {"type": "string"},
            "title": {"type": "string"},
            "skip": {"type": "array", "items": {"type": "string"}, "maxItems": 40},
        }
    )
