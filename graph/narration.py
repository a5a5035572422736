"""Every kind of event as one line that a person reads: for progress, `factory replay` and the chat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core.events import Event
from core.json import is_array, is_object
from core.plain import cost, one_line, seconds, tokens
from memory.extraction.echoes import mark

Payload = Mapping[str, Any]

LOUD = frozenset(
    {
        "run.created",
        "run.status",
        "run.announced",
        "run.rolled_back",
        "run.purged",
        "run.cancel_wanted",
        "run.pause_wanted",
        "run.resumed",
        "governance.assessed",
        "change.baseline",
        "plan.decided",
        "stage.started",
        "check.ran",
        "gate.decided",
        "clarification.asked",
        "clarification.refused",
        "clarification.answered",
        "clarification.escalated",
        "approval.requested",
        "approval.decided",
        "budget.extended",
        "stage.ended",
        "stage.skipped",
        "lease.shared",
        "merge.conflict",
        "repair.started",
        "repair.ended",
        "merge.taken_in",
        "release.pushed",
        "release.requested",
        "release.failed",
        "release.done",
        "run.ended",
    }
)
"""The kinds that show how a run goes on; the others are every single step, and only `replay` tells them."""


def tell(event: Event) -> str:
    """The event without its time: who, and what happened."""
    told = _TELL.get(event.kind)
    try:
        what = told(event.payload) if told else _fields(event.payload)
    except (KeyError, TypeError, ValueError):
        # An event of an older or newer program still shows all that it holds.
        what = _fields(event.payload)
    who = f"{event.team}: " if event.team else ""
    return f"{who}{event.kind}{' ' if what else ''}{what}"


def tell_at(event: Event) -> str:
    """The event with its local time of day."""
    return f"{event.at.astimezone():%H:%M:%S} {tell(event)}"


def _fields(payload: Payload) -> str:
    return one_line(", ".join(f"{name}={value}" for name, value in payload.items()), 240)


def _join(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _reasons(payload: Payload) -> str:
    reasons = payload.get("reasons") or payload.get("reason") or ()
    text = reasons if isinstance(reasons, str) else "; ".join(str(reason) for reason in reasons)
    return f": {one_line(text, 240)}" if text else ""


def _spent(payload: Payload) -> str:
    used = int(payload.get("tokens") or 0)
    return _join(
        seconds(float(payload["seconds"])) if "seconds" in payload else "",
        f"{tokens(used)} tokens" if used else "",
        cost(payload.get("cost_usd")) if used else "",
    )


def _called(payload: Payload) -> str:
    used = int(payload["input_tokens"]) + int(payload["output_tokens"])
    spent = _spent({**payload, "tokens": used})
    return f"{payload.get('call', '')} {payload['alias']} ({payload['model']}): {spent}".strip()


def _planned(payload: Payload) -> str:
    title = one_line(str(payload.get("title", "")), 80)
    return f"“{title}”: {len(payload['stages'])} stages, {len(payload.get('skipped') or ())} skipped"


def _checked(payload: Payload) -> str:
    passed = payload["passed"]
    word = "not run" if passed is None else "passed" if passed else "failed"
    heir = payload.get("left_to")
    left = f" (left to {one_line(str(heir))})" if heir else ""
    return f"{payload['name']} {word}{left}: {one_line(str(payload.get('summary', '')))}"


def _asked(payload: Payload) -> str:
    return f"{payload['asker']} → {payload['target']}: {one_line(str(payload['question']), 240)}"


def _ended(payload: Payload) -> str:
    attempts = int(payload.get("attempts") or 1)
    return _join(str(payload["verdict"]), f"{attempts} attempts" if attempts != 1 else "", _spent(payload))


def _kept(payload: Payload) -> str:
    cost_of: Any = payload.get("cost")
    spent: Payload = cost_of if is_object(cost_of) else {}
    used = int(spent.get("input_tokens") or 0) + int(spent.get("output_tokens") or 0)
    texts = f"{len(payload.get('texts') or ())} texts kept"
    return _join(texts, f"{spent.get('calls', 0)} model calls", _spent({**spent, "tokens": used}))


def _forgotten(payload: Payload) -> str:
    much = "pieces" if payload.get("digest") else "all"
    by, why = one_line(str(payload["by"])), _reasons({"reason": payload["why"]})
    return f"{much} of {payload['name']} of event {payload['seq']}, by {by}{why}"


def _memories(ids: Any) -> str:
    """Memories by their marks, as many as a line holds; empty where there are none."""
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(mark(int(one)).strip("[]") for one in ids[:_NAMED]) + more


def _retained(payload: Payload) -> str:
    said = [f"{word} {_memories(payload[name])}" for name, word in _KEPT.items() if payload.get(name)]
    counts = [f"{payload[name]} {word}" for name, word in _LEFT.items() if payload.get(name)]
    left = f"left out: {', '.join(counts)}" if counts else ""
    model = one_line(f"of a model {payload['model']}") if payload.get("model") else ""
    return _join(*said, left, model) or "nothing to keep"


def _receivers(to: Any) -> str:
    more = f" and {len(to) - _NAMED} more" if len(to) > _NAMED else ""
    return ", ".join(one_line(str(each)) for each in to[:_NAMED]) + more


_NAMED = 4
"""Memories, or who gets a mail, that are named; the others are counted."""
_KEPT = {"ids": "kept", "superseded": "superseded", "shared": "shared"}
_LEFT = {"known": "known already", "echoes": "repeated", "unsupported": "not borne out"}

_TELL: dict[str, Callable[[Payload], str]] = {
    "run.created": lambda p: one_line(str(p.get("requirement", "")), 120),
    "run.status": lambda p: f"{p['from']} → {p['to']}",
    "run.announced": lambda p: one_line(str(p["text"]), 240),
    "change.baseline": lambda p: f"before the change: {_checked(p)}",
    "governance.assessed": lambda p: f"{p['risk']}{_reasons(p)}",
    "plan.decided": _planned,
    "stage.started": lambda p: f"round {p['round']}" if int(p.get("round") or 1) > 1 else "",
    "model.called": _called,
    "action.called": lambda p: f"{p['tool']}: {one_line(str(p.get('summary', '')))}",
    "action.observed": lambda p: (
        f"{p['tool']} {'ok' if p['ok'] else 'error'}: {one_line(str(p.get('summary', '')))}"
    ),
    "review.given": lambda p: _join(
        str(p["verdict"]), one_line("; ".join(str(f) for f in p.get("findings") or ()), 240)
    ),
    "report.received": lambda p: f"{p['status']}, confidence {p['confidence']}",
    "model.failed": lambda p: f"{p['call']}: {one_line(str(p['error']), 240)}",
    "report.invalid": lambda p: one_line("; ".join(str(error) for error in p["errors"]), 240),
    "check.ran": _checked,
    "gate.decided": lambda p: (
        f"{p['verdict']}{f' (attempt {attempt})' if (attempt := p.get('attempt')) else ''}{_reasons(p)}"
    ),
    "clarification.asked": _asked,
    "clarification.refused": lambda p: f"{_asked(p)}{_reasons(p)}",
    "clarification.answered": lambda p: (
        f"{p['target']} → {p['asker']}: {one_line(str(p.get('answer', '')), 240)}"
    ),
    "clarification.escalated": lambda p: f"{_asked(p)}{_reasons(p)}",
    "approval.requested": lambda p: f"{p['approval_id']} ({p['kind']}): {one_line(str(p['question']), 240)}",
    "budget.extended": lambda p: f"{p['budget']} by {cost(p['amount_usd'])}, says {one_line(str(p['by']))}",
    "approval.decided": lambda p: f"{p['approval_id']}: {p['decision']} by {one_line(str(p['by']))}",
    "stage.merged": lambda p: f"{str(p['commit'])[:12]}: {_files(p['files'])}",
    "stage.snapshot": _kept,
    "memory.recalled": lambda p: _join(
        f"told {_memories(p['ids']) or 'nothing'}", one_line(str(p.get("degraded", "")), 160)
    ),
    "memory.retained": _retained,
    "memory.learned": lambda p: (
        f"version {p['version']} of the team's page, by {p['way']}: {p['lines']} lines"
    ),
    "memory.taken_back": lambda p: _join(
        f"{_memories(p['ids']) or 'nothing'}{_reasons({'reason': p['why']})}",
        f"held again: {_memories(p['restored'])}" if p.get("restored") else "",
    ),
    "memory.forgotten": lambda p: (
        f"{_memories(p['ids'])}, by {one_line(str(p['by']))}{_reasons({'reason': p['why']})}"
    ),
    "memory.extraction_failed": lambda p: one_line(str(p["why"]), 240),
    "memory.failed": lambda p: f"at {p['at']}: {one_line(str(p['why']), 240)}",
    "mail.posted": lambda p: (
        f"{p['kind']} from {one_line(str(p['from']))} to {_receivers(p['to'])}: {one_line(str(p['subject']))}"
    ),
    "memory.told": lambda p: f"a {p['kind']} for {one_line(str(p['bank']))}, by {one_line(str(p['by']))}",
    "context.packed": lambda p: (
        f"{p['left']} messages put away, {p['cut']} shortened: the context holds {int(p['window']):,} tokens"
    ),
    "text.forgotten": _forgotten,
    "stage.ended": _ended,
    "stage.skipped": lambda p: one_line(str(p["reason"]), 240),
    "lease.shared": lambda p: f"{p['team']} of {p['run']} works on {', '.join(map(str, p['paths']))} too",
    "merge.needed": lambda p: f"main is at {str(p['main'])[:12]}, the branch at {str(p['head'])[:12]}",
    "merge.conflict": lambda p: f"{_files(p['files'])}; repaired by {', '.join(map(str, p['teams']))}",
    "merge.taken_in": lambda p: (
        f"main {str(p['main'])[:12]} as {str(p['commit'])[:12]}"
        + (f", repaired {_files(p['repaired'])}" if p["repaired"] else "")
    ),
    "repair.started": lambda p: "",
    "repair.ended": _ended,
    "release.unseen": lambda p: (
        f"the branch is at {str(p['head'])[:12]}, reviewed was {str(p['checked'])[:12]}: looked at anew"
    ),
    "release.permitted": lambda p: f"{p['branch']} to {p['remote']}, risk {p['risk']}",
    "release.pushed": lambda p: f"{p['branch']} ({str(p['commit'])[:12]}) to {p['remote']}",
    "release.requested": lambda p: f"{one_line(str(p['url']))} into {p['base']}",
    "release.failed": lambda p: f"{p['step']}: {one_line(str(p['error']), 240)}",
    "release.done": lambda p: f"{p['tag']} ({str(p['commit'])[:12]}) in {p['repository']}",
    "run.rollback_begun": lambda p: f"{p['number']}: to {p['stage']} ({str(p['commit'])[:12]}), by {p['by']}",
    "run.rolled_back": lambda p: (
        f"to {p['stage']} ({str(p['commit'])[:12]}) by {one_line(str(p['by']))}; before: {p['old_head']}"
    ),
    "run.cancel_wanted": lambda p: f"by {one_line(str(p['by']))}{_reasons(p)}",
    "run.pause_wanted": lambda p: f"by {one_line(str(p['by']))}{_reasons(p)}",
    "run.purged": lambda p: f"what it kept was removed by {one_line(str(p['by']))}{_reasons(p)}",
    "run.resumed": lambda p: f"by {one_line(str(p['by']))}",
    "run.ended": lambda p: str(p["status"]),
}


def _files(files: object) -> str:
    names = [str(name) for name in files] if is_array(files) else []
    shown = ", ".join(names[:4])
    return one_line(f"{len(names)} files: {shown}{', …' if len(names) > 4 else ''}")
