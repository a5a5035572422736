"""What people and teams said in an event: beside the chain, so that it can be forgotten, and read as ever.

Such a field of a payload is moved into a text of the event (core/texts.py) before the record is hashed, and
put back where the event is read: whoever reads events needs to know nothing of it. Records of before this was
so hold the words themselves; they are read as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from core.json import JsonObject, JsonValue, is_object
from core.texts import FIELD, MARK

PREFIX: Final = "said:"
"""What the name of such a text begins with; the field's name follows."""

SAID: Final[Mapping[str, tuple[str, ...]]] = {
    "run.created": ("requirement",),
    "round.started": ("comment",),
    "clarification.asked": ("question",),
    "clarification.refused": ("question", "reason"),
    "clarification.escalated": ("question", "reason"),
    "clarification.answered": ("question", "answer"),
    "approval.requested": ("title", "question", "default_answer"),
    "approval.decided": ("answer",),
    "review.given": ("findings",),
    "gate.decided": ("reasons",),
    "stage.ended": ("reason",),
    "repair.ended": ("reason",),
    "mail.posted": ("subject",),
}
"""The fields, by kind of event."""

_EMPTY: Final[tuple[JsonValue, ...]] = (None, "", [], {})


def taken_out(kind: str, payload: JsonObject) -> dict[str, JsonValue]:
    """Take what somebody said out of a payload; the texts that hold it from now on."""
    fields = [name for name in SAID.get(kind, ()) if payload.get(name) not in _EMPTY]
    return {PREFIX + name: payload.pop(name) for name in fields}


def put_back(payload: dict[str, Any], said: Mapping[str, str | None] | None) -> None:
    """Put it where it was; `said` has the bodies of the texts by name, None where one is forgotten."""
    told = payload.get(FIELD)
    if not is_object(told):
        return
    for name in [name for name in told if name.startswith(PREFIX)]:
        about = told.pop(name)
        listed = is_object(about) and about.get("list") is True
        payload[name.removeprefix(PREFIX)] = _value((said or {}).get(name), [MARK] if listed else MARK)
    if not told:
        del payload[FIELD]


def _value(body: str | None, gone: JsonValue) -> JsonValue:
    """What a text says; `gone` where there is none, or where somebody broke it: `audit verify` says which."""
    try:
        return gone if body is None else json.loads(body)
    except ValueError:
        return gone
