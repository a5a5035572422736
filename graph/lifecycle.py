"""The run's state machine: one table, and the one function that moves a run along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, cast, get_args

from core.database import Database
from core.errors import FactoryError
from core.events import EventLog
from core.json import JsonObject, JsonValue
from core.redaction import redact
from governance.approvals import ROLLBACK, close_open
from graph import queries

RunStatus = Literal[
    "draft",
    "governance_analysis",
    "awaiting_approval",
    "approved",
    "rejected",
    "planning",
    "in_progress",
    "awaiting_input",
    "paused",
    "validating",
    "deployable",
    "completed",
    "failed",
    "cancelled",
]

ENDED: Final[frozenset[RunStatus]] = frozenset({"completed", "rejected", "failed", "cancelled"})
WAITING: Final[frozenset[RunStatus]] = frozenset({"awaiting_approval", "awaiting_input", "paused"})

_ONWARD: Final[dict[RunStatus, tuple[RunStatus, ...]]] = {
    "draft": ("governance_analysis", "paused"),
    "governance_analysis": ("awaiting_approval", "approved", "rejected", "paused"),
    "awaiting_approval": ("approved", "rejected", "paused"),
    "approved": ("planning", "paused"),
    "planning": ("in_progress", "paused"),
    "in_progress": ("awaiting_input", "paused", "validating"),
    "awaiting_input": ("in_progress", "validating", "deployable", "paused"),
    # A person may pause a run wherever it is, and it goes on from there.
    "paused": (
        *("draft", "governance_analysis", "awaiting_approval", "approved", "planning", "in_progress"),
        *("validating", "deployable", "awaiting_input"),
    ),
    # Back to in_progress when a reviewer sends the run round again; a reviewer's "no" is final.
    "validating": ("awaiting_input", "paused", "in_progress", "deployable", "rejected"),
    # The deploy gate asks a person too, where there is a remote to release to. Where main has moved, what it
    # got is taken in, by a team where it conflicts, and validated.
    "deployable": ("completed", "awaiting_input", "paused", "rejected", "in_progress", "validating"),
}

TRANSITIONS: Final[dict[RunStatus, frozenset[RunStatus]]] = {
    status: frozenset() if status in ENDED else frozenset({*_ONWARD[status], "failed", "cancelled"})
    for status in get_args(RunStatus)
}
"""From each status, where a run may go. From any live one also `failed` and `cancelled`."""


REOPENS: Final[frozenset[RunStatus]] = frozenset(
    (*ENDED, "in_progress", "awaiting_input", "paused", "validating", "deployable")
)
"""From where a rollback may bring a run back to `in_progress`: wherever a plan has been made."""


class IllegalTransition(FactoryError):
    """A run cannot go from its status to that one."""

    http_status = 409


def may_move(current: RunStatus, target: RunStatus) -> bool:
    """Whether the table lets a run go from `current` to `target`."""
    return target in TRANSITIONS[current]


async def move(
    db: Database,
    events: EventLog,
    run_id: str,
    target: RunStatus,
    *,
    key: str | None = None,
    failure: str = "",
) -> bool:
    """Move a run to `target`, with its event, in one transaction; an end closes its open questions with it.

    Returns False, and changes nothing, when it is there already, or when the step of that `key` was made
    before: a node may run twice, and may have moved the run on since.
    Raises IllegalTransition, and changes nothing, when the table does not know the step.
    """
    async with db.pool.connection() as conn, conn.transaction():
        current = await queries.lock_status(conn, run_id)
        if current == target or (key and await queries.event_exists(conn, run_id, key)):
            return False
        if not may_move(current, target):
            onward = ", ".join(sorted(TRANSITIONS[current])) or "nothing"
            raise IllegalTransition(
                f"Run {run_id} is {current} and cannot become {target}",
                untouched="The run is unchanged",
                todo=f"From {current} a run can become: {onward}",
            )
        failure = redact(failure)
        if target in ENDED:
            await close_open(conn, events, run_id, why=f"the run is {target}")
        await queries.set_status(conn, run_id, target, failure=failure or None, ended=target in ENDED)
        payload: dict[str, str] = {"from": current, "to": target}
        if failure:
            payload["reason"] = failure
        await events.append(run_id, "run.status", {**payload}, key=key, conn=conn)
    return True


async def reopen(
    db: Database,
    events: EventLog,
    run_id: str,
    *,
    number: int,
    revision: int,
    why: str,
    payload: JsonObject,
) -> bool:
    """Record a rollback, the `number`th of the run: status, open questions and events in one transaction.

    Returns False, and changes nothing, when it is recorded. Raises IllegalTransition.
    """
    key = f"rollback/{number}/done"
    async with db.pool.connection() as conn, conn.transaction():
        current = await queries.lock_status(conn, run_id)
        if await queries.event_exists(conn, run_id, key):
            return False
        if current not in REOPENS:
            raise IllegalTransition(
                f"Run {run_id} is {current} and cannot be rolled back", untouched="The run is unchanged"
            )
        await close_open(conn, events, run_id, why=why, by=ROLLBACK)
        await queries.reopen(conn, run_id, rollbacks=number, revision=revision)
        await events.append(run_id, "run.rolled_back", payload, key=key, conn=conn)
        moved = {"from": current, "to": "in_progress"}
        if current != "in_progress":
            await events.append(run_id, "run.status", moved, key=f"rollback/{number}/in_progress", conn=conn)
    return True


async def wake(db: Database, events: EventLog, run_id: str) -> None:
    """Move a run that waited for an answer back to what it was; any other is left alone."""
    changes = await events.read(run_id, kinds=["run.status"])
    if changes and changes[-1].payload["to"] in {"awaiting_input", "paused"}:
        await move(db, events, run_id, _awake([change.payload for change in changes], WAITING))


async def unpause(db: Database, events: EventLog, run_id: str) -> None:
    """Move a run that a person had paused back to what it was."""
    changes = await events.read(run_id, kinds=["run.status"])
    if changes and changes[-1].payload["to"] == "paused":
        await move(db, events, run_id, _awake([change.payload for change in changes], frozenset({"paused"})))


def _awake(changes: Sequence[Mapping[str, JsonValue]], asleep: frozenset[RunStatus]) -> RunStatus:
    """What a run was before it fell asleep."""
    slept = [str(change["from"]) for change in changes if change["to"] in asleep]
    return cast(RunStatus, next((status for status in reversed(slept) if status not in asleep), "draft"))
