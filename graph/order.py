"""The order of a run's checkpoints, whatever the clocks of the machines say that work on it.

LangGraph takes the checkpoint with the highest id for the newest, and makes ids of the machine's time. On a
machine whose clock is behind that of the one before, new checkpoints would sort before the old ones, and what
they hold would be done over and over.
"""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from langgraph.checkpoint.base import id as ids

from core.database import Database
from graph import queries


async def go_on(db: Database, run_id: str) -> None:
    """Have the checkpoints that this process makes from now on sort after all that the run has."""
    async with db.pool.connection() as conn:
        newest = await queries.newest_checkpoint(conn, run_id)
    if newest is None:
        return
    # No setting of LangGraph's: what it keeps, to count on where its clock is set back in one process.
    module = cast(Any, ids)
    module._last_v6_timestamp = max(module._last_v6_timestamp or 0, time_of(UUID(newest)))


def time_of(made: UUID) -> int:
    """The time in a UUID of version 6, in units of 100 ns since 1582."""
    high, low = made.int >> 80, made.int >> 64 & 0x0FFF
    return high << 12 | low
