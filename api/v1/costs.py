"""`/api/v1/costs` and `/budgets`: what was spent on models, and what may be."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.access import Configurer, ReaderWithin, narrowed
from api.etags import Tags
from api.found import LONGEST, SLASHES
from api.once import Once, OnceRoute
from api.paging import After, Limit, Listing, Page
from api.service import Service, Serving
from api.v1.wanted import Money, Name, Wanted
from core.errors import NotFound
from models.spending import caps
from models.spending.amount import usd
from models.spending.caps import Budget, Scope
from models.spending.costs import Dimension, as_table, costs, plain

router = APIRouter(tags=["costs"], route_class=OnceRoute)

BudgetName = Annotated[
    str,
    Path(
        description="A budget's id: `scope:subject`.",
        examples=["project:library", "stage:run-01kahm3x8q9c4w5e6r7t8y9z0a/backend_engineering"],
        max_length=2 * LONGEST,
        json_schema_extra=SLASHES,
    ),
]


class CostRow(BaseModel):
    """What one team (or alias, account …) has spent."""

    model_config = ConfigDict(frozen=True)

    name: str
    calls: int
    failed: int
    """Among the calls."""
    input_tokens: int
    output_tokens: int
    cost_usd: str
    seconds: float


class CostsShown(BaseModel):
    """What was spent, and its sum."""

    model_config = ConfigDict(frozen=True)

    by: Dimension
    rows: list[CostRow]
    total: CostRow


class BudgetShown(BaseModel):
    """One budget and how it stands. US dollars as text: exact."""

    model_config = ConfigDict(frozen=True)

    id: str
    scope: Scope
    subject: str
    cap_usd: str
    """What was agreed, extensions included."""
    extended_usd: str
    extensions: int
    spent_usd: str
    reserved_usd: str
    """Set aside for calls under way."""


class BudgetPage(Page[BudgetShown]):
    """Budgets by their ids."""


class Extension(Wanted):
    """By how much to extend a budget."""

    amount_usd: Annotated[Money, Field(examples=["2.50"])]


@router.get(
    "/costs",
    response_model=CostsShown,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def show(
    service: Serving,
    caller: ReaderWithin,
    by: Annotated[Dimension, Query(description="What to sum up by.")] = "team",
    run: Annotated[Name | None, Query(description="Of one run only.")] = None,
    project: Annotated[Name | None, Query(description="Of one project only.")] = None,
    since: Annotated[date | None, Query(description="From this day (UTC) on.")] = None,
    until: Annotated[date | None, Query(description="Up to this day (UTC).")] = None,
    format: Annotated[Literal["json", "csv"], Query(description="How it is told.")] = "json",
) -> CostsShown | Response:
    """What was spent on models, the dearest first, days in their order."""
    run_id = None
    if run is not None:
        found_run = await service.factory.services.runs.named(run)
        caller.require_project(found_run.project)
        run_id = found_run.id
    else:
        caller.require_project(project)
    found = await costs(service.factory.db, by, run_id=run_id, project=project, since=since, until=until)
    if format == "csv":
        headers = {"Content-Disposition": f'attachment; filename="costs-by-{by}.csv"'}
        return Response(as_table(by, found), media_type="text/csv; charset=utf-8", headers=headers)
    return CostsShown(
        by=by,
        rows=[CostRow.model_validate(plain(row)) for row in found.rows],
        total=CostRow.model_validate(plain(found.total)),
    )


@router.get("/budgets")
async def budgets(
    service: Serving,
    caller: ReaderWithin,
    scope: Annotated[Scope | None, Query(description="Of this scope only.")] = None,
    run: Annotated[Name | None, Query(description="Of this run and its stages only: its id.")] = None,
    project: Annotated[Name | None, Query(description="Of this project, its runs and teams only.")] = None,
    limit: Limit = 50,
    after: After = None,
) -> BudgetPage:
    """The budgets, and how they stand."""
    projects = narrowed(caller, project)
    listing = Listing("budgets", {"s": scope, "r": run, "p": projects}, (str,))
    place = listing.read(after)
    found = await caps.page(
        service.factory.db, after=place[0] if place else None, limit=limit + 1, scope=scope, run_id=run,
        projects=projects,
    )  # fmt: skip
    shown, next_ = listing.page(found, limit, lambda one: (one.id,))
    return BudgetPage(items=[_shown(one) for one in shown], next=next_)


@router.get("/budgets/{budget_id:path}")
async def budget(service: Serving, caller: ReaderWithin, budget_id: BudgetName, tags: Tags) -> BudgetShown:
    """One budget. What is agreed for a project is set in its settings."""
    shown = _shown(await _budget(service, budget_id, narrowed(caller, None)))
    tags.show(shown)
    return shown


@router.post("/extensions/{budget_id:path}")
async def extend(
    wanted: Extension, service: Serving, caller: Configurer, budget_id: BudgetName, once: Once, tags: Tags
) -> BudgetShown:
    """Extend a budget. A run that waits for it is answered by deciding its question instead."""
    amount = usd(wanted.amount_usd, least=caps.LEAST)
    before = await _budget(service, budget_id, None)
    if not once.again:
        tags.require(_shown(before))
    await caps.extend(service.factory.db, once.named("extension"), budget_id, amount)
    return _shown(await _budget(service, budget_id, None))


async def _budget(service: Service, budget_id: str, projects: list[str] | None) -> Budget:
    found: list[Budget] = []
    if budget_id.isprintable():
        found = await caps.page(service.factory.db, limit=1, budget_id=budget_id, projects=projects)
    if not found:
        raise NotFound(f"There is no budget {budget_id[:80]!a}", todo="List the budgets")
    return found[0]


def _shown(budget: Budget) -> BudgetShown:
    return BudgetShown(
        id=budget.id,
        scope=budget.scope,
        subject=budget.subject,
        cap_usd=f"{budget.cap_usd:f}",
        extended_usd=f"{budget.extended_usd:f}",
        extensions=budget.extensions,
        spent_usd=f"{budget.spent_usd:f}",
        reserved_usd=f"{budget.reserved_usd:f}",
    )
