"""Where a job stands in the queue, and how a run gets into it: all that who has no worker needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypedDict

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from core.json import JsonValue
from governance.approvals import Approval
from graph.queue import queries

DRIVE: Final = "drive"
"""The kind of job that drives a run."""
_ANSWERED: Final = 10
"""The priority of a run that a person has answered: it goes before new ones."""


class Place(TypedDict, total=False):
    """Where a job stands in the queue."""

    lock: str | None
    """Jobs of one lock are done one after the other, in the order in which they came."""
    queueing_lock: str | None
    """Where a job waits already that has the same one, it stands for both."""
    priority: int
    """Higher goes first; 0 if nobody says another one."""
    delay: float | None
    """Seconds before which it does not begin."""
    group: str | None
    """Of one group, at most `most` are done at once; the kind where none is given."""
    most: int | None


async def defer(
    conn: queries.Connection, kind: str, payload: Mapping[str, JsonValue], place: Place
) -> AsyncCursor[DictRow]:
    """Put a job into the queue in that connection's transaction; its `id`, to be fetched."""
    args: dict[str, Any] = {"payload": dict(payload)}
    if (most := place.get("most")) is not None:
        args |= {"group": place.get("group") or kind, "most": most}
    return await queries.defer(
        conn,
        kind,
        args,
        priority=place.get("priority", 0),
        lock=place.get("lock"),
        queueing_lock=place.get("queueing_lock"),
        delay=place.get("delay"),
    )


def lock_of(run_id: str) -> str:
    """The lock of jobs that concern a run."""
    return f"run {run_id}"


async def drive(
    conn: queries.Connection, run_id: str, project: str, most: int | None, *, priority: int = 0
) -> None:
    """Have a run driven, of whose project at most so many are driven at once."""
    lock = lock_of(run_id)
    place = Place(lock=lock, queueing_lock=lock, priority=priority, group=project, most=most)
    await defer(conn, DRIVE, {"run": run_id}, place)


async def answered(conn: queries.Connection, approval: Approval) -> bool:
    """Have a run that workers drive go on, whichever process records what a person decided; whether it is
    one."""
    found = await queries.queued(conn, approval.run_id)
    if found is not None:
        await drive(conn, approval.run_id, found["project"], found["most"], priority=_ANSWERED)
    return found is not None
