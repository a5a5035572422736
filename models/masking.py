"""Masks the secrets in what a model says, before anybody keeps it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, cast

from core.json import JsonValue
from core.redaction import redact
from models.calls import Call, Reply

ACTS: Final = frozenset({"work"})
"""Kinds of call whose reply is written into the worktree as it is: a mask would change a file without a word.
The check `secrets` finds what a team writes there."""


def masked(reply: Reply, call: Call) -> Reply:
    """The reply without secrets, unless it is one that acts. Its thinking never keeps any."""
    if call.kind in ACTS:
        return replace(reply, thinking=redact(reply.thinking))
    changes: dict[str, Any] = {
        "content": redact(reply.text),
        "tool_calls": [
            {**each, "args": redact(cast(JsonValue, each["args"]))} for each in reply.message.tool_calls
        ],
    }
    return replace(reply, message=reply.message.model_copy(update=changes), thinking=redact(reply.thinking))
