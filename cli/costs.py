"""`factory costs`: what was spent on models, as a table, CSV or JSON."""

from __future__ import annotations

import sys
from datetime import date
from typing import cast

from cli import records
from cli import screen as look_of
from cli.screen import Screen, table
from core.errors import BadInput
from core.json import JsonObject
from models.spending.costs import Costs, Dimension, as_table, plain
from models.spending.costs import costs as spent


class DateInvalid(BadInput):
    """That is no day."""


async def costs(
    by: Dimension,
    *,
    run: str | None,
    project: str | None,
    since: str | None,
    until: str | None,
    as_csv: bool,
    as_json: bool,
) -> int:
    """Print what was spent by `by`; returns 0."""
    first, last = _day(since), _day(until)
    screen = Screen(as_json)
    async with records.opened() as kept:
        run_id = None if run is None else (await kept.run(run)).id
        found = await spent(kept.db, by, run_id=run_id, project=project, since=first, until=last)
    if as_json:
        told = {"by": by, "rows": [plain(row) for row in found.rows], "total": plain(found.total)}
        screen.result(cast(JsonObject, told))
    elif as_csv:
        sys.stdout.write(as_table(by, found))
    else:
        show(screen, by, found)
    return 0


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise DateInvalid(f"{text[:40]!r} is no day", todo="Write it as 2026-01-31, a day in UTC") from None


def show(screen: Screen, by: str, found: Costs) -> None:
    """Print a table."""
    if not found.rows:
        screen.say("Nothing was spent yet")
        return
    rows = table(by, "calls", "failed", "in", "out", "cost", "time",
                 right=("calls", "failed", "in", "out", "cost", "time"))  # fmt: skip
    for row in (*found.rows, found.total):
        rows.add_row(
            look_of.clean(row.name) or "(none)",
            str(row.calls),
            str(row.failed or ""),
            look_of.tokens(row.input_tokens),
            look_of.tokens(row.output_tokens),
            look_of.cost(row.cost_usd),
            look_of.seconds(row.seconds),
        )
    screen.out.print(rows)
