"""What a person wants of a run that some process may be driving: written down, for that one to obey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from core.database import Database
from core.errors import BadInput
from core.events import EventLog
from core.json import JsonObject
from core.redaction import redact
from graph import lifecycle, queries

Wish = Literal["cancel", "pause"]
MOST_REASON = 2_000
"""Characters of a reason."""


class RunOver(BadInput):
    """The run has ended."""

    http_status = 409


class BeingCancelled(BadInput):
    """The run is being cancelled."""

    http_status = 409


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants."""

    what: Wish
    by: str
    reason: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any] | None) -> Wanted | None:
        """From the column."""
        return cls(row["what"], row["by"], row.get("reason", "")) if row else None


async def want(db: Database, events: EventLog, run_id: str, what: Wish, *, by: str, reason: str = "") -> None:
    """Record that a run is to be cancelled or paused; the same again changes nothing.

    Raises NotFound, RunOver, BeingCancelled.
    """
    async with db.pool.connection() as conn, conn.transaction():
        if not await want_in(conn, events, run_id, what, by=by, reason=reason):
            raise BeingCancelled(f"Run {run_id} is being cancelled", untouched="That goes on")


async def want_in(
    conn: queries.Connection, events: EventLog, run_id: str, what: Wish, *, by: str, reason: str = ""
) -> bool:
    """The same within a transaction; False, and nothing is changed, where the run is being cancelled."""
    told: JsonObject = {"by": redact(by), "reason": redact(reason.replace("\x00", ""))[:MOST_REASON]}
    before = await _live(conn, run_id)
    if before == what:
        return True
    if before == "cancel":
        return False
    await queries.want(conn, run_id, {"what": what, **{name: str(text) for name, text in told.items()}})
    await events.append(run_id, f"run.{what}_wanted", told, conn=conn)
    return True


async def release(db: Database, events: EventLog, run_id: str, *, by: str) -> bool:
    """Record that a run which a person paused may go on; False where nobody had paused it.

    Raises NotFound, RunOver, BeingCancelled.
    """
    async with db.pool.connection() as conn, conn.transaction():
        before = await _live(conn, run_id)
        if before == "cancel":
            raise BeingCancelled(f"Run {run_id} is being cancelled", untouched="That goes on")
        if before is None:
            return False
        await queries.want(conn, run_id, None)
        await events.append(run_id, "run.resumed", {"by": redact(by)}, conn=conn)
    return True


async def _live(conn: queries.Connection, run_id: str) -> Wish | None:
    """What is wanted of a run until now, its row locked; raises RunOver where it has ended."""
    row = await queries.lock_wanted(conn, run_id)
    if row["status"] in lifecycle.ENDED:
        raise RunOver(
            f"Run {run_id} has ended ({row['status']})",
            untouched="It stays as it is",
            todo=f"See how it ended with: factory show {run_id}",
        )
    found = Wanted.of(row["wanted"])
    return found.what if found else None
