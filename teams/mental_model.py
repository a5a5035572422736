"""A model's edits to a team's mental model: one small call, whose answer is only ever a proposal."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from langchain_core.messages import HumanMessage, SystemMessage
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core import logs
from core.json import JsonObject
from memory.extraction.echoes import mark
from memory.mental_models.edits import MOST_EDITS, Edit, Known, Op
from memory.mental_models.page import FACTORY, Line
from memory.mental_models.service import Editor
from memory.records import Memory, unshown
from models.calls import Call, Reply
from models.errors import ModelFailure, UnknownAlias, UnknownModel
from models.following import first_reply
from models.service import Models
from teams.actions import fenced
from teams.extraction import ResultInvalid, last_object
from teams.output import clean
from teams.wording import prose

ALIAS: Final = "factory/cheap"
_SHOWN: Final = 40
"""Memories that a model is shown, the weightiest of what is new."""
_CHARS: Final = 400
"""Of each."""
_LONGEST_TEXT: Final = 2_000

_log = logs.get(__name__)


class _Edit(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    op: Op
    line: int
    text: str = Field(max_length=_LONGEST_TEXT)
    sources: list[int | str] = Field(max_length=20)


class _Edits(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    edits: list[_Edit] = Field(max_length=2 * MOST_EDITS)


def editor(models: Models, call: Call, heard: Callable[[Call, Reply], Awaitable[None]]) -> Editor | None:
    """Who edits a page with these models; None where a script answers. `heard` is told of each reply."""
    if models.is_offline:
        return None

    async def propose(lines: Sequence[Line], known: Known) -> Sequence[Edit] | None:
        try:
            messages = [
                SystemMessage(prose("mental_model_system")),
                HumanMessage(_request(call, lines, known)),
            ]
            asked_as, reply = await first_reply(models, ALIAS, messages, call=call, schema=_schema())
            await heard(asked_as, reply)
            return _read(reply.text)
        except (ModelFailure, UnknownAlias, UnknownModel, ResultInvalid) as failure:
            _log.warning("mental_model.not_edited", team=call.team, run=call.run_id, why=str(failure))
            return None

    return propose


def _read(text: str) -> list[Edit]:
    try:
        read = _Edits.model_validate(last_object(text))
    except ValidationError as invalid:
        raise ResultInvalid([str(error["msg"]) for error in invalid.errors()]) from None
    return [Edit(edit.op, edit.line, edit.text, tuple(map(_source, edit.sources))) for edit in read.edits]


def _source(named: int | str) -> int:
    """A memory as a model names it; what is no id is that of no memory, and the edit is refused."""
    known = unshown(str(named).strip().strip("[]").removeprefix("m"))
    return -1 if known is None else known


def _request(call: Call, lines: Sequence[Line], known: Known) -> str:
    page = [f"> {number}. {_told(line)}" for number, line in enumerate(lines, start=1)]
    new = [_memory(memory) for memory in known.weightiest(_SHOWN)]
    return "\n".join(
        [
            f"---\ncall: {call.kind}\nteam: {call.team}\noperative: {call.operative}\n---",
            "# Page",
            *(page or ["> (empty)"]),
            "",
            "# What is new",
            *new,
            "",
            prose("mental_model"),
            fenced(json.dumps(_schema(), ensure_ascii=False, indent=1), "json"),
        ]
    )


def _told(line: Line) -> str:
    whose = "" if line.by == FACTORY else f" (by {line.by}; stays)"
    return line.written.removeprefix("- ") + whose


def _memory(memory: Memory) -> str:
    text = " ".join(clean(memory.text).split())
    return f"> {mark(memory.id)} {memory.kind.value}: {text[:_CHARS]}"


def _schema() -> JsonObject:
    edit = {
        "type": "object",
        "properties": {
            "op": {"enum": ["add", "replace", "remove"]},
            "line": {"type": "integer"},
            "text": {"type": "string"},
            "sources": {"type": "array", "items": {"type": "string"}, "maxItems": 20},
        },
        "required": ["op", "line", "text", "sources"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"edits": {"type": "array", "items": edit, "maxItems": MOST_EDITS}},
        "required": ["edits"],
        "additionalProperties": False,
    }
