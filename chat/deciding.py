"""A person's decision, made on a card: recorded once, then the run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chat.desk import Desk
from core.errors import BadInput, FactoryError
from core.redaction import redact
from governance.access import Principal
from governance.approvals import Approval
from governance.decisions import parse_decision, permission_for

ACTION = "decide"
"""What a card calls its action."""


class DecisionWithoutReason(BadInput):
    """A rejection needs a reason."""


async def decide(desk: Desk, person: Principal, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Record it, and answer the card: `ok`, or what was wrong. It changes when the log says so."""
    try:
        done = await _decide(desk, person, payload)
    except FactoryError as error:
        return {"ok": False, "what": redact(str(error))}
    return {"ok": True, "decision": done.decision, "by": done.decided_by}


async def _decide(desk: Desk, person: Principal, payload: Mapping[str, Any]) -> Approval:
    text = payload.get("text")
    decision, words = parse_decision(
        {
            "type": payload.get("decision"),
            "message": text if isinstance(text, str) else None,
        }
    )
    asked = await desk.factory.approvals.get(str(payload.get("approval_id", "")))
    person.require(permission_for(asked.kind, decision))
    if decision == "reject" and not words:
        raise DecisionWithoutReason(untouched="Nothing was decided", todo="Say why; the teams read it")
    done = await desk.factory.answer(asked.id, decision, words, by=person.name)
    await desk.dispatch.go_on(done.run_id)
    return done
