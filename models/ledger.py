"""What was spent: one row per call in `model_calls`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Literal

from psycopg.types.json import Jsonb

from core import clock
from core.database import Database
from core.redaction import redact
from models import queries
from models.calls import Call, Charge


@dataclass(frozen=True, slots=True)
class Usage:
    """What one team of a run has spent on models."""

    team: str
    calls: int
    failed: int
    """Calls that ended in an error; among `calls`."""
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    seconds: float


async def record(
    db: Database,
    call: Call,
    *,
    alias: str,
    provider: str,
    model: str,
    account: str = "",
    status: Literal["ok", "error"],
    input_tokens: int = 0,
    output_tokens: int = 0,
    cost_usd: Decimal = Decimal(0),
    seconds: float = 0.0,
    error: str | None = None,
    charges: Sequence[Charge] = (),
) -> None:
    """Write the row of a call. The second good one under the same (run, key) changes nothing.

    `charges` say what of the sums others than `account` are owed.
    """
    async with db.pool.connection() as connection:
        await connection.execute(
            queries.RECORD,
            {
                "id": clock.new_id("call"),
                "run_id": call.run_id,
                "team": call.team,
                "operative": call.operative,
                "call": call.kind,
                "alias": alias,
                "provider": provider,
                "model": model,
                "account": account,
                "input_tokens": input_tokens,
                "output_tokens": output_tokens,
                "cost_usd": cost_usd,
                "seconds": seconds,
                "status": status,
                "error": None if error is None else redact(error),
                "at": clock.now(),
                "key": call.key,
                "charges": Jsonb([_charge(each) for each in charges]),
            },
        )


def _charge(charge: Charge) -> dict[str, Any]:
    return {**asdict(charge), "id": clock.new_id("charge"), "cost_usd": str(charge.cost_usd)}


async def usage(db: Database, run_id: str) -> list[Usage]:
    """What a run has spent so far, by team in the order of their ids."""
    async with db.pool.connection() as connection:
        cursor = await connection.execute(queries.USAGE, {"run_id": run_id})
        return [
            Usage(
                team=row["team"],
                calls=int(row["calls"]),
                failed=int(row["failed"]),
                input_tokens=int(row["input_tokens"]),
                output_tokens=int(row["output_tokens"]),
                cost_usd=Decimal(row["cost_usd"]),
                seconds=float(row["seconds"]),
            )
            for row in await cursor.fetchall()
        ]
