"""What a team is asked for and what it must answer.

`Objective` goes in, `TaskResult` comes out. Between them stands a model's text, so the **wire** form of a
result is flat: no nested objects, no `$ref`, no numbers with bounds, only enums and `maxItems`, because small
local models and constrained decoders break on the rest. Its confidence and status come last, after the
reasoning that should lead to them, and nothing has a default: a result that says nothing is invalid, never
COMPLETE.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.json import JsonObject, JsonValue
from teams.extraction import ResultInvalid, last_object, sentences
from teams.team import Limits

__all__ = [
    "PERSON",
    "Clarification",
    "Objective",
    "ResultInvalid",
    "Status",
    "TaskResult",
    "Upstream",
    "parse_result",
    "wire_schema",
]

Status = Literal["COMPLETE", "NEEDS_CLARIFICATION", "BLOCKED"]
"""COMPLETE: every acceptance criterion is met. NEEDS_CLARIFICATION: one question stands in the way.
BLOCKED: something a question cannot solve stands in the way."""

PERSON = "person"
"""The clarification target that is no team."""

MAX_ITEMS = 40
MAX_ITEM_CHARS = 4_000
MAX_REASONING_CHARS = 20_000


class Upstream(BaseModel):
    """What an earlier stage hands over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    team: str
    facts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class Objective(BaseModel):
    """A bounded task of one team, with the criteria by which it is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """run/team/round"""
    team: str
    goal: str
    acceptance_criteria: tuple[str, ...]
    inputs: tuple[Upstream, ...] = ()
    deliverables: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    limits: Limits


class Clarification(BaseModel):
    """One question to another team, or to a person."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target_team: str
    """A team's id, or "person"."""
    question: str


class TaskResult(BaseModel):
    """What a team says about its objective. A claim, not evidence: the gate looks for itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reasoning: str
    deliverables: tuple[str, ...]
    verified_facts: tuple[str, ...]
    assumptions_made: tuple[str, ...]
    blockers: tuple[str, ...]
    clarification_needed: Clarification | None
    confidence: int = Field(ge=0, le=100)
    status: Status


class _Wire(BaseModel):
    """The flat form, strictly: an "85" is no number and a missing list is not empty."""

    model_config = ConfigDict(strict=True, extra="forbid")

    reasoning: str = Field(max_length=MAX_REASONING_CHARS)
    deliverables: list[str] = Field(max_length=MAX_ITEMS)
    verified_facts: list[str] = Field(max_length=MAX_ITEMS)
    assumptions_made: list[str] = Field(max_length=MAX_ITEMS)
    blockers: list[str] = Field(max_length=MAX_ITEMS)
    clarification_target: str
    clarification_question: str = Field(max_length=MAX_ITEM_CHARS)
    confidence: int = Field(ge=0, le=100)
    status: Status

    @field_validator("deliverables", "verified_facts", "assumptions_made", "blockers")
    @classmethod
    def _items(cls, items: list[str]) -> list[str]:
        for item in items:
            if len(item) > MAX_ITEM_CHARS:
                raise ValueError(f"an item is longer than {MAX_ITEM_CHARS} characters; say it shorter")
        return items


def wire_schema(team_ids: Iterable[str]) -> JsonObject:
    """The JSON schema a model is given, with the teams it may ask as an enum."""

    def texts(description: str) -> JsonObject:
        return {
            "type": "array",
            "items": {"type": "string"},
            "maxItems": MAX_ITEMS,
            "description": description,
        }

    properties: JsonObject = {
        "reasoning": {
            "type": "string",
            "description": "How the work was done and why it meets the objective.",
        },
        "deliverables": texts("Paths of the files written, relative to the worktree."),
        "verified_facts": texts("What was checked by a tool in this conversation, with the outcome."),
        "assumptions_made": texts("What was taken for true without a check."),
        "blockers": texts("What stands in the way. Empty when the status is COMPLETE."),
        "clarification_target": {
            "type": "string",
            "enum": _targets(team_ids),
            "description": "Whom to ask. Empty unless the status is NEEDS_CLARIFICATION.",
        },
        "clarification_question": {
            "type": "string",
            "description": "The one question. Empty unless the status is NEEDS_CLARIFICATION.",
        },
        "confidence": {"type": "integer", "description": "0 to 100: how sure that every criterion is met."},
        "status": {"type": "string", "enum": ["COMPLETE", "NEEDS_CLARIFICATION", "BLOCKED"]},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _targets(team_ids: Iterable[str]) -> list[JsonValue]:
    return ["", *dict.fromkeys(team_ids), PERSON]


def parse_result(text: str, team_ids: Collection[str]) -> TaskResult:
    """The task result in a model's raw text (fenced, or with prose or thoughts before it).

    Raises `ResultInvalid` whose `errors` are sentences the model can act on.
    """
    try:
        wire = _Wire.model_validate(last_object(text))
    except ValidationError as invalid:
        raise ResultInvalid(sentences(invalid)) from None
    errors = _contradictions(wire, team_ids)
    if errors:
        raise ResultInvalid(errors)
    clarification = None
    if wire.status == "NEEDS_CLARIFICATION":
        clarification = Clarification(
            target_team=wire.clarification_target.strip(), question=wire.clarification_question.strip()
        )
    return TaskResult(
        reasoning=wire.reasoning,
        deliverables=tuple(wire.deliverables),
        verified_facts=tuple(wire.verified_facts),
        assumptions_made=tuple(wire.assumptions_made),
        blockers=tuple(wire.blockers),
        clarification_needed=clarification,
        confidence=wire.confidence,
        status=wire.status,
    )


def _contradictions(wire: _Wire, team_ids: Collection[str]) -> list[str]:
    """What is well formed and still cannot be meant."""
    errors: list[str] = []
    target, question = wire.clarification_target.strip(), wire.clarification_question.strip()
    blockers = [blocker for blocker in wire.blockers if blocker.strip()]
    if wire.status == "NEEDS_CLARIFICATION":
        if target not in team_ids and target != PERSON:
            allowed = ", ".join([*team_ids, PERSON])
            errors.append(
                f'clarification_target: "{target[:80]}" cannot be asked; with status NEEDS_CLARIFICATION it '
                f"must be one of: {allowed}"
            )
        if not question:
            errors.append("clarification_question: must hold the question when status is NEEDS_CLARIFICATION")
    elif question:
        errors.append(
            f"clarification_question: must be empty when status is {wire.status}; "
            "to ask, set status to NEEDS_CLARIFICATION"
        )
    if wire.status == "COMPLETE" and blockers:
        errors.append("blockers: must be empty when status is COMPLETE; with a blocker the status is BLOCKED")
    if wire.status == "BLOCKED" and not blockers:
        errors.append("blockers: must name what stands in the way when status is BLOCKED")
    if not wire.reasoning.strip():
        errors.append("reasoning: must not be empty")
    return errors
