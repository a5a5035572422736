"""`/api/v1/clarifications`: what teams ask each other."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict

from api.access import ReaderWithin, narrowed
from api.door import DoorRoute
from api.found import LONGEST
from api.paging import After, Limit, Listing, Page
from api.service import Serving
from api.v1.wanted import Name
from core.errors import NotFound
from graph import clarification_queries

router = APIRouter(prefix="/clarifications", tags=["clarifications"], route_class=DoorRoute)


class ClarificationShown(BaseModel):
    """One question of a team to another."""

    model_config = ConfigDict(frozen=True)

    id: str
    run_id: str
    project: str
    asker: str
    target: str
    question: str
    answer: str | None
    status: str
    """How it stands: asked, answered, escalated to a person, refused, closed."""
    reason: str | None
    """Why it was refused, or went to a person."""
    depth: int
    """Hops from the first asker."""
    chain: list[str]
    created_at: datetime
    answered_at: datetime | None


class ClarificationPage(Page[ClarificationShown]):
    """Questions of teams, the oldest first."""


@router.get("")
async def list_(
    service: Serving,
    caller: ReaderWithin,
    run: Annotated[Name | None, Query(description="Of this run only: its id.")] = None,
    project: Annotated[Name | None, Query(description="Of this project only.")] = None,
    status: Annotated[Name | None, Query(description="Those that stand so.")] = None,
    limit: Limit = 50,
    after: After = None,
) -> ClarificationPage:
    """Questions of teams to each other, the oldest first."""
    projects = narrowed(caller, project)
    listing = Listing("clarifications", {"r": run, "p": projects, "s": status}, (datetime, str))
    async with service.factory.db.pool.connection() as conn:
        found = await clarification_queries.page_of_clarifications(
            conn,
            after=listing.read(after),
            limit=limit + 1,
            run_id=run,
            status=status,
            projects=projects,
        )
    rows, next_ = listing.page(found, limit, lambda row: (row["created_at"], row["id"]))
    return ClarificationPage(items=[ClarificationShown(**row) for row in rows], next=next_)


@router.get("/{clarification_id}")
async def show(
    clarification_id: Annotated[str, Path(description="A question's id.", max_length=LONGEST)],
    service: Serving,
    caller: ReaderWithin,
) -> ClarificationShown:
    """One question."""
    row = None
    if clarification_id.isprintable():
        async with service.factory.db.pool.connection() as conn:
            row = await clarification_queries.clarification(conn, clarification_id)
    caller.require_project(row["project"] if row else None)
    if row is None:
        raise NotFound(f"There is no question {clarification_id[:80]!a}")
    return ClarificationShown(**row)
