"""What was spent, summed up from the ledger."""

import csv
import io
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Literal

from core.database import Database
from core.plain import clean
from models.spending import caps, queries

_NUMBERS: Final = ("calls", "failed", "input_tokens", "output_tokens", "cost_usd", "seconds")

Dimension = Literal["team", "alias", "account", "model", "project", "day"]

DIMENSIONS: Final[dict[Dimension, str]] = {
    "team": "c.team",
    "alias": "c.alias",
    "account": "CASE WHEN c.account = '' THEN c.provider ELSE c.account END",
    "model": "c.model",
    "project": "coalesce(p.name, '')",
    "day": "to_char(c.at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}
"""What costs can be summed up by, in SQL. A call without an account is its provider's."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one team (or alias, account …) has spent."""

    name: str
    calls: int
    failed: int
    """Calls that ended in an error, or that nobody saw the end of; among `calls`."""
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    seconds: float


@dataclass(frozen=True, slots=True)
class Costs:
    """The rows, and their sum as the database took it over the same calls."""

    rows: tuple[Row, ...]
    total: Row


async def costs(
    db: Database,
    by: Dimension,
    *,
    run_id: str | None = None,
    project: str | None = None,
    since: date | None = None,
    until: date | None = None,
) -> Costs:
    """What was spent by `by`, the dearest first, days in their order. `since` and `until` are days in UTC,
    both included."""
    # What was set aside by processes that are gone belongs into the ledger by now.
    await caps.lapse(db)
    order = "name" if by == "day" else "cost_usd DESC, name"
    statement = queries.COSTS.format(dimension=DIMENSIONS[by], order=order)
    values = {"run_id": run_id, "project": project, "since": since, "until": until}
    async with db.pool.connection() as connection:
        found = await (await connection.execute(statement, values)).fetchall()  # pyright: ignore[reportArgumentType]
    rows = [
        Row(
            name="total" if row["is_total"] else row["name"],
            calls=int(row["calls"]),
            failed=int(row["failed"]),
            input_tokens=int(row["input_tokens"]),
            output_tokens=int(row["output_tokens"]),
            cost_usd=Decimal(row["cost_usd"]),
            seconds=float(row["seconds"]),
        )
        for row in found
    ]
    return Costs(tuple(rows[:-1]), rows[-1])


def plain(row: Row) -> dict[str, object]:
    """A row for programs. Money as text: a float would not be what was spent."""
    return {**asdict(row), "cost_usd": f"{row.cost_usd:f}"}


def as_table(by: str, found: Costs) -> str:
    """The rows and their sum as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((by, *_NUMBERS))
    for row in (*found.rows, found.total):
        told, name = plain(row), clean(row.name)
        # A spreadsheet would take such a cell for a formula.
        name = f"'{name}" if name[:1] in ("=", "+", "-", "@") else name
        writer.writerow((name, *(told[number] for number in _NUMBERS)))
    return text.getvalue()
