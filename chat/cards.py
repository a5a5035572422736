"""A question to a person as its card on the page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from chat.wire import iso
from core.json import is_array
from governance.approvals import Approval


@dataclass
class Asked:
    """A question to a person, as the log has it."""

    at: datetime
    payload: Mapping[str, Any]
    decided: Mapping[str, Any] | None = None
    decided_at: datetime | None = None


def card(
    run_id: str,
    asked: Asked,
    row: Approval | None,
) -> dict[str, Any]:
    """What a decision's card shows, as plain values; `row` adds what the log leaves out."""
    payload, decided = asked.payload, asked.decided
    detail = cast("dict[str, Any]", dict(row.detail)) if row is not None else {}
    props: dict[str, Any] = {
        "approval_id": str(payload["approval_id"]),
        "run_id": run_id,
        "kind": str(payload["kind"]),
        "risk": str(payload.get("risk", "")),
        "team": (row.team if row else None) or "",
        "title": str(payload.get("title", "")),
        "question": str(payload.get("question", "")),
        "allowed": list(payload.get("allowed", ())),
        "default_answer": payload.get("default_answer"),
        "expires_at": payload.get("expires_at"),
        "reasons": _texts(detail.get("reasons") or detail.get("why")),
        "impact": _texts(detail.get("impact") or detail.get("stat")),
        "alternatives": _texts(detail.get("alternatives")),
        "diff": str(detail.get("diff") or ""),
        "decided": None,
    }
    if decided is not None:
        props["decided"] = {
            "decision": str(decided.get("decision", "")),
            "by": str(decided.get("by", "")),
            "answer": str(decided.get("answer") or ""),
            "at": iso(asked.decided_at),
        }
    return props


def _texts(value: Any) -> list[str]:
    if not value:
        return []
    if isinstance(value, str):
        return [value]
    return [str(part) for part in value] if is_array(value) else [str(value)]
