"""The one object that `--json` prints and the API returns for a run."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from core import queries as log
from core.events import from_row
from core.incarnation import Connection
from core.pipelining import rows_of
from governance import queries as questions
from governance.approvals import Approval, approval_of
from graph import check_report, turn_queries
from graph.check_report import CheckSummary
from graph.lifecycle import ENDED
from graph.progress import Progress
from graph.runs import Run
from models.spending import queries as spending
from models.spending.caps import Budget


class StageSummary(BaseModel):
    """How one stage went."""

    model_config = ConfigDict(frozen=True)

    team: str
    verdict: str | None
    """pass, fail, skipped or blocked; null before the end."""
    attempts: int
    seconds: float
    tokens: int
    cost_usd: float
    skipped_because: str | None


class BudgetSummary(BaseModel):
    """One budget that the run is under, and how it stands. US dollars as text: exact."""

    model_config = ConfigDict(frozen=True)

    scope: str
    """run, project, day, account, team or stage."""
    subject: str
    cap_usd: str
    spent_usd: str
    reserved_usd: str
    """Set aside for calls under way."""
    extensions: int


class Waiting(BaseModel):
    """A question that a person has not answered yet."""

    model_config = ConfigDict(frozen=True)

    approval_id: str
    kind: str
    question: str
    answer_with: str
    """The command that answers."""


class RunSummary(BaseModel):
    """A run in one object; field by field what docs/using.md promises."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    status: str
    project: str
    by: str | None = None
    """Who submitted it; null where that is not recorded."""
    repository: str
    tag: str | None
    cost_usd: float
    tokens: int
    seconds: float
    stages: list[StageSummary]
    waiting_for: list[Waiting]
    failure: str | None = None
    pull_request: str | None = None
    """Where it was released to, in a project with a remote."""
    score: int | None = None
    """0 to 100, what the checks of the merged project say; null before they ran."""
    waits_behind: list[str] = []
    """The runs of its project that have to be over before it begins."""
    budgets: list[BudgetSummary] = []
    """The budgets that the run is under."""
    checks: list[CheckSummary] = []
    """The checks of the merged project, as last run."""


async def summary_of(conn: Connection, run: Run) -> RunSummary:
    """The run's record with what else is known of it now, read in one round trip."""
    events, waiting, budgets = await rows_of(
        conn,
        (log.READ, {"run_id": run.id, "after": 0, "limit": None, "kinds": None}),
        (questions.PENDING, {"run_id": run.id}),
        (spending.OF_RUN, {"run_id": run.id, "project": run.project}),
    )
    return summarise(
        run,
        Progress.of(from_row(row) for row in events),
        [approval_of(row) for row in waiting],
        [Budget(**row) for row in budgets],
        await turn_queries.behind(conn, run.id, [*sorted(ENDED)]) if run.after else (),
    )


def summarise(
    run: Run,
    progress: Progress,
    waiting: Sequence[Approval],
    budgets: Sequence[Budget] = (),
    behind: Sequence[str] = (),
) -> RunSummary:
    """Put the record, the events and the open questions together."""
    checks = list(progress.checks.values())
    return RunSummary(
        run_id=run.id,
        status=run.status,
        project=run.project,
        by=run.by or None,
        repository=str(run.repository),
        tag=run.tag,
        cost_usd=round(progress.cost_usd, 6),
        tokens=progress.tokens,
        seconds=round(progress.seconds, 3),
        stages=[
            StageSummary(
                team=row.team,
                verdict=row.verdict or None,
                attempts=row.attempts,
                seconds=round(row.seconds, 3),
                tokens=row.tokens,
                cost_usd=round(row.cost_usd, 6),
                skipped_because=row.skipped_because or None,
            )
            for row in progress.rows
        ],
        waiting_for=[
            Waiting(approval_id=a.id, kind=a.kind, question=a.question, answer_with=answer_with(a))
            for a in waiting
            if run.status not in ENDED
        ],
        failure=run.failure,
        waits_behind=[*behind],
        pull_request=progress.pull_request or None,
        score=check_report.score_of(checks).points,
        budgets=[
            BudgetSummary(
                scope=one.scope,
                subject=one.subject,
                cap_usd=f"{one.cap_usd:f}",
                spent_usd=f"{one.spent_usd:f}",
                reserved_usd=f"{one.reserved_usd:f}",
                extensions=one.extensions,
            )
            for one in budgets
        ],
        checks=checks,
    )


def answer_with(approval: Approval) -> str:
    """The command that answers a question."""
    return command_of(approval.id, approval.kind, approval.allowed, approval.default_answer)


def command_of(approval_id: str, kind: str, allowed: Sequence[str], default: str | None) -> str:
    """The command that answers a question, from what its event says of it."""
    # To approve an escalation is to accept work that failed its checks: guidance is the better first thought.
    if kind == "budget":
        return f"factory answer {approval_id} {default}"
    if "approve" in allowed and kind != "escalation":
        return f"factory approve {approval_id}"
    return f'factory answer {approval_id} "…"'
