"""`/api/v1/approvals`: what waits for a person, and the person's decision."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api.access import Answerer, Caller, Reader, ReaderWithin, narrowed
from api.found import ThisApproval
from api.once import Once, OnceRoute
from api.paging import After, Limit, Listing, Page
from api.service import Serving
from api.v1.wanted import Name, Wanted, Words
from core.redaction import redact
from governance.approvals import AlreadyDecided, Approval, Decision, Kind
from governance.decisions import permission_for
from governance.policy import Risk
from graph import answering

router = APIRouter(prefix="/approvals", tags=["approvals"], route_class=OnceRoute)


class ApprovalShown(BaseModel):
    """One question to a person, and its decision once there is one."""

    model_config = ConfigDict(frozen=True)

    approval_id: str
    run_id: str
    kind: Kind
    team: str | None
    risk: Risk
    title: str
    question: str
    detail: dict[str, Any]
    allowed: list[Decision]
    """What can be decided; `respond` and `edit` take a text."""
    default_answer: str | None
    """What an answer without a text means."""
    created_at: datetime
    expires_at: datetime | None
    decision: Decision | None
    answer: str | None
    decided_by: str | None
    decided_at: datetime | None


class ApprovalPage(Page[ApprovalShown]):
    """Questions to people, the oldest first."""


class DecisionWanted(Wanted):
    """A person's decision."""

    decision: Annotated[
        Literal["approve", "reject", "edit", "respond"],
        Field(
            description="approve: as proposed. edit: approved with another text. reject: no, finally. "
            "respond: an answer in words; of a budget, by how many US dollars."
        ),
    ]
    text: Annotated[Words | None, Field(description="The words; what is left out is the default.")] = None


@router.get("")
async def list_(
    service: Serving,
    caller: ReaderWithin,
    run: Annotated[Name | None, Query(description="Of this run only: its id.")] = None,
    project: Annotated[Name | None, Query(description="Of this project only.")] = None,
    kind: Annotated[Kind | None, Query(description="Of this kind only.")] = None,
    state: Annotated[Literal["open", "decided", "all"], Query(description="Which ones.")] = "open",
    limit: Limit = 50,
    after: After = None,
) -> ApprovalPage:
    """Questions to people, the oldest first."""
    projects = narrowed(caller, project)
    filters = {"r": run, "p": projects, "k": kind, "s": state}
    listing = Listing("approvals", filters, (datetime, str))
    found = await service.factory.approvals.page(
        after=listing.read(after),
        limit=limit + 1,
        run_id=run,
        kind=kind,
        decided=None if state == "all" else state == "decided",
        projects=projects,
    )
    rows, next_ = listing.page(found, limit, lambda row: (row.created_at, row.id))
    return ApprovalPage(items=[shown(row) for row in rows], next=next_)


@router.get("/{approval_id}")
async def show(_: Reader, asked: ThisApproval) -> ApprovalShown:
    """One question."""
    return shown(asked)


@router.post("/{approval_id}/decision")
async def decide(
    wanted: DecisionWanted, service: Serving, caller: Answerer, asked: ThisApproval, once: Once
) -> ApprovalShown:
    """Decide a question, once, whoever comes first; its run goes on. Somebody was quicker: 409.

    Words to a question take the permission to answer, everything else the one to approve.
    """
    factory = service.factory
    caller.require(permission_for(asked.kind, wanted.decision))
    await answering.require_waiting(factory.services.runs, asked)
    try:
        decided = await factory.answer(asked.id, wanted.decision, wanted.text, by=caller.name)
    except AlreadyDecided as already:
        if not (once.again and _was_this(already.approval, wanted, caller)):
            raise
        decided = already.approval
    await service.dispatch.go_on(decided.run_id)
    return shown(decided)


def _was_this(approval: Approval, wanted: DecisionWanted, caller: Caller) -> bool:
    """Whether the decision that stands is the one that an attempt before this one was to record."""
    said = redact((wanted.text or "").strip()) or approval.default_answer
    same = approval.decision == wanted.decision and approval.decided_by == caller.name
    return same and approval.answer in (None, said)


def shown(approval: Approval) -> ApprovalShown:
    """A question for programs."""
    return ApprovalShown(
        approval_id=approval.id,
        run_id=approval.run_id,
        kind=approval.kind,
        team=approval.team,
        risk=approval.risk,
        title=approval.title,
        question=approval.question,
        detail=approval.detail,
        allowed=list(approval.allowed),
        default_answer=approval.default_answer,
        created_at=approval.created_at,
        expires_at=approval.expires_at,
        decision=approval.decision,
        answer=approval.answer,
        decided_by=approval.decided_by,
        decided_at=approval.decided_at,
    )
