"""Whose turn it is in a project: what a new run does about the runs that are active there.

Without a strategy, runs of a project are worked on side by side, as many as its settings allow. With one, the
new run is alone: it waits until none of those that were active when it came is any more. Active is what could
go on, by itself or by an answer: not what has ended, nor what a person has paused.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, Literal

from core.database import Database
from core.errors import BadInput
from core.events import EventLog
from graph import turn_queries as queries
from graph import wanted
from graph.lifecycle import ENDED

IfActive = Literal["reject", "enqueue", "interrupt", "rollback"]
"""reject: refuse the new run. enqueue: it begins when the active ones are over. interrupt: they are paused,
and can be resumed. rollback: they are cancelled, and nothing of them reaches main."""

_PATIENCE: Final = 1.0
"""Seconds between two looks at whether it is a run's turn."""
_WISHES: Final[dict[IfActive, wanted.Wish]] = {"interrupt": "pause", "rollback": "cancel"}


class ProjectBusy(BadInput):
    """A run of the project is active."""

    http_status = 409


async def take(
    conn: queries.Connection, events: EventLog, project_id: str, run_id: str, strategy: IfActive, by: str
) -> list[str]:
    """The runs that a new one waits for, which are told what is wanted of them in the same transaction.

    The caller has the project's row locked: of two that come at once, the second sees the first. Raises
    ProjectBusy.
    """
    active = await queries.active(conn, project_id, [*sorted(ENDED)])
    if strategy == "reject" and active:
        raise ProjectBusy(
            f"Run {active[0]} of the project is active",
            untouched="Nothing was started, and it goes on",
            todo="Wait for it, or choose enqueue, interrupt or rollback",
        )
    wish = _WISHES.get(strategy)
    if wish is not None:
        for each in active:
            reason = f"{run_id} was submitted, to {strategy} what is active"
            with suppress(wanted.RunOver):  # it ended in this moment
                await wanted.want_in(conn, events, each, wish, by=by, reason=reason)
    return active


async def behind(db: Database, run_id: str) -> list[str]:
    """The runs that a run still waits for; none once it has begun, or is over."""
    async with db.pool.connection() as conn:
        return await queries.behind(conn, run_id, [*sorted(ENDED)])


async def comes(db: Database, run_id: str) -> None:
    """Wait until it is the run's turn."""
    while await behind(db, run_id):  # noqa: ASYNC110 (other processes end them)
        await asyncio.sleep(_PATIENCE)
