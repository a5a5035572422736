"""The factory as an MCP server, for editors: submit, status, answer, approve, each as far as the role goes.

The client is as a rule a model that speaks for a person. So the role is the server's, given by who started
it, and nothing that a client says can widen it.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated

from mcp.server.fastmcp import FastMCP
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

from core.errors import BadInput
from governance import roles
from governance.approvals import Approval, Decision
from governance.decisions import permission_for
from governance.roles import Role
from graph import control
from graph.lifecycle import ENDED
from graph.queue.driving import Dispatch
from graph.queue.worker import MOST_AT_ONCE
from graph.runner import Factory
from graph.summary import RunSummary
from models.spending.amount import AmountInvalid, usd
from workspace.mcp.telling import told

NAME = "factory"
INSTRUCTIONS = (
    "A software factory: `submit` gives it a requirement, and seventeen teams turn it into tested software "
    "in a git repository. That takes minutes to hours: `status` tells how far it is and which questions wait "
    "for a person. Show those to the person you work for, and give their words to `answer`, or their "
    "decision to `approve` or `reject`. Never decide for them."
)
_READS = ToolAnnotations(readOnlyHint=True, openWorldHint=False)
_ADDS = ToolAnnotations(readOnlyHint=False, destructiveHint=False, openWorldHint=False)
_DECIDES = ToolAnnotations(readOnlyHint=False, destructiveHint=True, openWorldHint=False)

RunId = Annotated[str, Field(description="A run's id, the unique beginning of one, or `last`.")]
ApprovalId = Annotated[str, Field(description="The id of the question, from status.")]


class QuestionInWords(BadInput):
    """That question is not answered in words."""


class Question(BaseModel):
    """A question that waits for a person."""

    approval_id: str
    kind: str
    risk: str
    team: str | None
    title: str
    question: str
    allowed: list[str]
    """What can be decided; `respond` and `edit` need a text."""
    default_answer: str | None
    expires_at: str | None


class RunStatus(BaseModel):
    """How far a run is."""

    run: RunSummary
    questions: list[Question]
    driven_here: bool
    """Whether this server executes it now. If not and it neither ended nor waits: continue it with resume."""
    stopped_because: str | None
    """Why this server stopped executing it."""
    announcements: list[str]
    """What every surface must show, such as `offline model: scripted output`."""


class Decided(BaseModel):
    """A decision that was recorded; the run goes on."""

    approval_id: str
    run_id: str
    decision: str
    answer: str | None
    decided_by: str


@asynccontextmanager
async def opened(factory: Factory, role: Role, person: str) -> AsyncGenerator[FastMCP[None]]:
    """The server, while it is served. `person` is whom decisions are recorded for."""
    async with Dispatch.open(factory) as dispatch, dispatch.working(MOST_AT_ONCE):
        yield build(factory, dispatch, role, person)


def build(factory: Factory, dispatch: Dispatch, role: Role, person: str) -> FastMCP[None]:
    """The server, with a role."""
    tools = _Tools(factory, dispatch, role, f"{person} ({role}, by MCP)")
    server: FastMCP[None] = FastMCP(
        NAME, instructions=f"{INSTRUCTIONS} Your role here: {role}.", log_level="WARNING"
    )
    for tool, hints in (
        (tools.submit, _ADDS),
        (tools.status, _READS),
        (tools.list_runs, _READS),
        (tools.resume, _ADDS),
        (tools.answer, _ADDS),
        (tools.approve, _DECIDES),
        (tools.reject, _DECIDES),
    ):
        server.add_tool(told(tool), annotations=hints)
    return server


class _Tools:
    """Each docstring is what a client reads about the tool."""

    def __init__(self, factory: Factory, dispatch: Dispatch, role: Role, by: str) -> None:
        self._factory = factory
        self._dispatch = dispatch
        self._role: Role = role
        self._by = by

    async def submit(
        self,
        requirement: Annotated[str, Field(description="What to build, for whom, in sentences or Markdown.")],
        project: Annotated[
            str | None, Field(description="The project to work in. [default: named after the requirement]")
        ] = None,
        pipeline: Annotated[str, Field(description="full or core.")] = "full",
        budget: Annotated[
            str | None,
            Field(description="What it may spend on models, in US dollars, as in 0.10; at most what is set."),
        ] = None,
    ) -> RunStatus:
        """Give the factory a requirement. Returns at once; the run goes on in the background."""
        roles.require(self._role, "submit")
        run_id = await self._factory.submit(
            requirement,
            project=project,
            pipeline=pipeline,
            budget_usd=_amount(budget),
            widens=False,
            by=self._by,
        )
        await self._dispatch.go_on(run_id)
        return await self._status(run_id)

    async def status(self, run: RunId = "last") -> RunStatus:
        """How far a run is: its stages, its result, and the questions that wait for a person."""
        roles.require(self._role, "read")
        return await self._status(await self._factory.find(run))

    async def list_runs(
        self, limit: Annotated[int, Field(ge=1, le=100, description="How many, newest first.")] = 10
    ) -> list[RunSummary]:
        """List the runs."""
        roles.require(self._role, "read")
        return await self._factory.runs(limit)

    async def resume(self, run: RunId) -> RunStatus:
        """Continue a run that was interrupted."""
        roles.require(self._role, "submit")
        run_id = await self._factory.find(run)
        if (await self._factory.summary(run_id)).status not in ENDED:
            await control.resume(self._factory.services, run_id, by=self._by)
            await self._dispatch.go_on(run_id)
        return await self._status(run_id)

    async def answer(
        self, approval_id: ApprovalId, text: Annotated[str, Field(description="The person's words.")]
    ) -> Decided:
        """Answer a question in a person's words: a clarification, guidance, or a comment in a review."""
        asked = await self._factory.approvals.get(approval_id)
        roles.require(self._role, permission_for(asked.kind, "respond"))
        if "respond" not in asked.allowed:
            raise QuestionInWords(
                f"{asked.id} takes no answer in words, only: {', '.join(asked.allowed)}",
                untouched="The question is still open",
                todo="Use approve or reject",
            )
        return await self._decide(asked, "respond", text)

    async def approve(
        self,
        approval_id: ApprovalId,
        note: Annotated[str | None, Field(description="For the record.")] = None,
    ) -> Decided:
        """Say yes, for a person who said so. Needs the role director."""
        return await self._yes_or_no(approval_id, "approve", note)

    async def reject(
        self,
        approval_id: ApprovalId,
        reason: Annotated[str | None, Field(description="Why; the teams read it.")] = None,
    ) -> Decided:
        """Say no, for a person who said so. Needs the role director."""
        return await self._yes_or_no(approval_id, "reject", reason)

    async def _yes_or_no(self, approval_id: str, decision: Decision, text: str | None) -> Decided:
        roles.require(self._role, "approve")
        return await self._decide(await self._factory.approvals.get(approval_id), decision, text)

    async def _decide(self, asked: Approval, decision: Decision, text: str | None) -> Decided:
        done = await self._factory.answer(asked.id, decision, text, by=self._by)
        await self._dispatch.go_on(done.run_id)
        return Decided(
            approval_id=done.id,
            run_id=done.run_id,
            decision=done.decision or "",
            answer=done.answer,
            decided_by=done.decided_by or "",
        )

    async def _status(self, run_id: str) -> RunStatus:
        waiting = await self._factory.approvals.pending(run_id)
        return RunStatus(
            run=await self._factory.summary(run_id),
            questions=[_question(approval) for approval in waiting],
            driven_here=self._dispatch.works_on(run_id),
            stopped_because=self._dispatch.failure(run_id),
            announcements=self._factory.announcements,
        )


def _amount(budget: str | None) -> Decimal | None:
    try:
        return None if budget is None else usd(budget)
    except AmountInvalid as invalid:
        raise AmountInvalid(
            f"budget: {invalid.what}", untouched="Nothing was started", todo=invalid.todo
        ) from None


def _question(approval: Approval) -> Question:
    return Question(
        approval_id=approval.id,
        kind=approval.kind,
        risk=approval.risk,
        team=approval.team,
        title=approval.title,
        question=approval.question,
        allowed=list(approval.allowed),
        default_answer=approval.default_answer,
        expires_at=approval.expires_at.isoformat() if approval.expires_at else None,
    )
