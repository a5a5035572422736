"""What the audit's snapshot of a stage says beside its texts: what it cost, and what it was reminded of."""

from __future__ import annotations

from core.database import Database
from core.json import JsonObject
from memory.audit import queries

SNAPSHOT = "stage.snapshot"
"""The kind of event that holds a stage as it ended; its kept texts are `brief`, `result` and `file:PATH`."""

RECALLED = "memory.recalled"
"""The kind of event that holds what a stage was reminded of; its kept texts are `query` and `recall`."""


async def told_of(db: Database, run_id: str, stage: str) -> JsonObject:
    """What a stage cost (its key inside the run, `team.round`), answers to its questions among it, and the
    events that hold its recall sets."""
    async with db.pool.connection() as connection:
        cursor = await connection.execute(
            queries.STAGE_SPENT, {"run_id": run_id, "stage": stage, "recalled": RECALLED}
        )
        row = await cursor.fetchone()
    assert row is not None
    return {
        "cost": {
            "calls": int(row["calls"]),
            "input_tokens": int(row["input_tokens"]),
            "output_tokens": int(row["output_tokens"]),
            "cost_usd": f"{row['cost_usd']:f}",
            "seconds": round(float(row["seconds"]), 3),
        },
        "recalled": [int(seq) for seq in row["recalled"]],
    }
