"""What a server's factory has spent, remembers, and works on."""

from __future__ import annotations

import sys
from datetime import datetime
from decimal import Decimal
from typing import cast

from api.client.models import CostRow
from cli import costs as spending
from cli import memory, projects
from cli.remote.connecting import opened
from cli.screen import Screen
from core.json import JsonObject
from graph.memories import MemoriesFound, Wanted
from graph.projects import Project
from models.spending.costs import Costs, Dimension, Row, as_table


async def costs(
    server: str, by: Dimension, *, run: str | None, project: str | None, since: str | None,
    until: str | None, as_csv: bool, as_json: bool,
) -> int:  # fmt: skip
    """Print what was spent by `by`; returns 0."""
    screen = Screen(as_json)
    async with opened(server, screen) as client:
        told = await client.costs_show(by=by, run=run, project=project, since=since, until=until)
    if as_json:
        screen.result(cast(JsonObject, told))
        return 0
    found = Costs(tuple(map(_row, told["rows"])), _row(told["total"]))
    if as_csv:
        sys.stdout.write(as_table(by, found))
    else:
        spending.show(screen, by, found)
    return 0


async def search(
    server: str, wanted: Wanted, query: str, limit: int, as_of: datetime | None, *, explain: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Print what the banks know about a query, the best first; returns 0."""
    screen = Screen(as_json)
    _ = wanted.bank  # a team and `shared` together are refused here, as they are there
    async with opened(server, screen) as client:
        found = await client.memory_search(
            wanted.project,
            query=query,
            team=wanted.team,
            shared=wanted.shared,
            kind=list(wanted.kinds) or None,  # type: ignore[arg-type]
            limit=limit,
            as_of=None if as_of is None else as_of.isoformat(),
        )
    return memory.told(MemoriesFound.model_validate(found), screen, explain=explain)


async def project_list(server: str, *, as_json: bool) -> int:
    """List the projects; returns 0."""
    screen = Screen(as_json)
    found: list[Project] = []
    async with opened(server, screen) as client:
        after: str | None = None
        while True:
            page = await client.projects_list(limit=200, after=after)
            found += [
                Project(
                    name=one["name"],
                    created_at=datetime.fromisoformat(one["created_at"]),
                    runs=one["runs"],
                    live=one["live"],
                    last_run=one["last_run"],
                )
                for one in page["items"]
            ]
            after = page["next"]
            if after is None:
                break
    return projects.listed(found, screen)


def _row(told: CostRow) -> Row:
    return Row(
        name=told["name"],
        calls=told["calls"],
        failed=told["failed"],
        input_tokens=told["input_tokens"],
        output_tokens=told["output_tokens"],
        cost_usd=Decimal(told["cost_usd"]),
        seconds=told["seconds"],
    )
