"""A decision as surfaces send it, in any dialect, read into ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from core.errors import BadInput
from core.json import canonical
from governance.approvals import Decision, Kind
from governance.roles import Permission

_WORDS: Final = frozenset({"clarification", "escalation", "review"})
"""Kinds of question that words answer: guidance for a team, a comment in a review."""


def permission_for(kind: Kind, decision: Decision) -> Permission:
    """What it takes to decide so: words to a question are less than a yes or a no, or money."""
    return "answer" if decision == "respond" and kind in _WORDS else "approve"


class DecisionUnreadable(BadInput):
    """The decision is in no dialect that is understood here."""


_TYPES: Final[Mapping[str, Decision]] = {
    # LangChain's HITLResponse
    "approve": "approve",
    "edit": "edit",
    "reject": "reject",
    "respond": "respond",
    # Agent Inbox and Agent Chat UI
    "accept": "approve",
    "response": "respond",
    "ignore": "reject",
}

_FORMS = 'Send {"decisions": [{"type": "approve"}]}, or [{"type": "accept", "args": null}]'


def parse_decision(value: object) -> tuple[Decision, str | None]:
    """The decision and its text.

    Understood are `{"decisions": [{type, message | edited_action}]}`, `[{type, args}]`, one such entry alone,
    and a bare word (`"approve"`). One interrupt has one action, so more than one decision is refused.
    """
    entry = value
    if isinstance(entry, Mapping) and "decisions" in entry:
        entry = cast(Mapping[str, Any], entry)["decisions"]
    if isinstance(entry, Sequence) and not isinstance(entry, str):
        entries = cast(Sequence[object], entry)
        if len(entries) != 1:
            raise DecisionUnreadable(f"There are {len(entries)} decisions for one question", todo=_FORMS)
        entry = entries[0]
    if isinstance(entry, str):
        entry = {"type": entry}
    if not isinstance(entry, Mapping):
        raise DecisionUnreadable(f"A decision cannot be a {type(entry).__name__}", todo=_FORMS)
    fields = cast(Mapping[str, Any], entry)
    kind = fields.get("type")
    decision = _TYPES.get(kind.strip().lower()) if isinstance(kind, str) else None
    if decision is None:
        raise DecisionUnreadable(
            f"{kind!r} is no type of a decision (known: {', '.join(_TYPES)})", todo=_FORMS
        )
    return decision, _text(fields)


def _text(fields: Mapping[str, Any]) -> str | None:
    """The words of a decision: a message, or the answer inside of edited arguments."""
    for name in ("message", "edited_action", "args", "arguments", "answer"):
        found = fields.get(name)
        if isinstance(found, str):
            return found.strip() or None
        if isinstance(found, Mapping) and found:
            arguments = cast(Mapping[str, Any], found)
            if name != "answer" and ("args" in arguments or "arguments" in arguments):
                return _text({"args": arguments.get("args") or arguments.get("arguments")})
            answer = arguments.get("answer")
            return answer.strip() or None if isinstance(answer, str) else _json(arguments)
    return None


def _json(arguments: Mapping[str, Any]) -> str:
    try:
        return canonical(dict(arguments))
    except (TypeError, ValueError, RecursionError) as error:
        raise DecisionUnreadable(f"The edited arguments are no JSON: {error}", todo=_FORMS) from error
