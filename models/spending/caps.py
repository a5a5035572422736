"""Budgets as rows: set, extended by a person, looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from core.database import Database
from models.spending import queries

Scope = Literal["run", "stage", "team", "project", "account", "day"]
"""What a budget is for. Its subject: a run; `RUN/TEAM`; `PROJECT/TEAM`; a project; an account; a UTC date."""

ASK_FROM = Decimal("0.9")
"""Share of a budget that is spent when a person is asked before anything more is."""

LEAST = Decimal("0.000001")
"""The least by which a budget is extended."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget and how it stands. USD."""

    scope: Scope
    subject: str
    cap_usd: Decimal
    """What was agreed, extensions included."""
    extended_usd: Decimal
    extensions: int
    spent_usd: Decimal
    reserved_usd: Decimal
    """Set aside for calls under way: what they may cost at most."""

    @property
    def id(self) -> str:
        """What it is called: `scope:subject`."""
        return f"{self.scope}:{self.subject}"


async def agree(db: Database, scope: Scope, subject: str, cap_usd: Decimal | None) -> None:
    """Set a budget, or take it away. What people added to it stays; a new one knows what was spent before."""
    await agree_all(db, {(scope, subject): cap_usd})


async def agree_all(db: Database, agreed: Mapping[tuple[Scope, str], Decimal | None]) -> None:
    """Set several at once: (scope, subject) -> USD, or None to take it away."""
    # In one order, so that two processes never wait for each other.
    rows = sorted(agreed.items(), key=lambda item: item[0])
    values = {
        "scopes": [scope for (scope, _), _ in rows],
        "subjects": [subject for (_, subject), _ in rows],
        "caps": [cap for _, cap in rows],
    }
    async with db.pool.connection() as connection:
        await connection.execute(queries.SET, values)


async def extend(db: Database, approval_id: str, budget_id: str, amount_usd: Decimal) -> bool:
    """Add what a person allowed; False where that decision was applied before."""
    values = {"approval": approval_id, "budget": budget_id, "amount": amount_usd}
    async with db.pool.connection() as connection:
        row = await (await connection.execute(queries.EXTEND, values)).fetchone()
    return row is not None and bool(row["applied"])


async def of_run(db: Database, run_id: str, project: str) -> list[Budget]:
    """The budgets that a run is under, its own first."""
    async with db.pool.connection() as connection:
        cursor = await connection.execute(queries.OF_RUN, {"run_id": run_id, "project": project})
        return [Budget(**row) for row in await cursor.fetchall()]


async def page(
    db: Database,
    *,
    after: str | None = None,
    limit: int = 50,
    scope: Scope | None = None,
    run_id: str | None = None,
    projects: Sequence[str] | None = None,
    budget_id: str | None = None,
) -> list[Budget]:
    """At most `limit` budgets by their ids, of those after an id; of accounts and days none where `projects`
    are named."""
    values = {
        "after": after,
        "limit": limit,
        "scope": scope,
        "run_id": run_id,
        "projects": None if projects is None else [*projects],
        "id": budget_id,
    }
    async with db.pool.connection() as connection:
        rows = await (await connection.execute(queries.PAGE, values)).fetchall()
    return [Budget(**{name: value for name, value in row.items() if name != "id"}) for row in rows]


async def lapse(db: Database, run_id: str | None = None) -> int:
    """Count as spent what processes that are gone had set aside: all that is overdue, and all of one run,
    which only its one driver may name."""
    async with db.pool.connection() as connection:
        row = await (await connection.execute(queries.LAPSE, {"run_id": run_id})).fetchone()
    return 0 if row is None else int(row["lapsed"])
