"""What a run looks like from outside: a fold over its events, the same for every surface."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

from core.events import Event
from graph import check_report
from graph.check_report import CheckSummary

RowState = Literal["waiting", "running", "asking", "done", "skipped", "failed"]


@dataclass
class StageRow:
    """One stage as a person sees it."""

    team: str
    name: str
    wave: int = 0
    state: RowState = "waiting"
    verdict: str = ""
    """pass, fail, skipped; blocked while a person must help; empty before the end."""
    attempts: int = 0
    seconds: float = 0.0
    """From the first brief to the end of the last round, waiting for people included."""
    tokens: int = 0
    cost_usd: float = 0.0
    doing: str = ""
    skipped_because: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass
class Progress:
    """A run's progress. Feed it events in order with `apply`."""

    status: str = "draft"
    title: str = ""
    requirement: str = ""
    project: str = ""
    pipeline: str = ""
    repository: str = ""
    tag: str = ""
    commit: str = ""
    pull_request: str = ""
    """Address of the pull request; empty where there is none."""
    failure: str = ""
    risk: str = ""
    round: int = 1
    tokens: int = 0
    cost_usd: float = 0.0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    last_at: datetime | None = None
    checks: dict[str, CheckSummary] = field(default_factory=dict[str, CheckSummary])
    """The checks of the merged project, as last run."""
    waiting: dict[str, str] = field(default_factory=dict[str, str])
    """Approvals that nobody has decided yet: id → the question."""
    _rows: dict[str, StageRow] = field(default_factory=dict[str, StageRow])

    @property
    def rows(self) -> list[StageRow]:
        """The stages, in the order of the pipeline."""
        return list(self._rows.values())

    @property
    def seconds(self) -> float:
        """From the first event to the end, or to the last event seen."""
        end = self.ended_at or self.last_at
        return (end - self.started_at).total_seconds() if self.started_at and end else 0.0

    @classmethod
    def of(cls, events: Iterable[Event]) -> Progress:
        """The progress that a run's events amount to."""
        progress = cls()
        for event in events:
            progress.apply(event)
        return progress

    def apply(self, event: Event) -> None:
        """Take one event in; kinds that change nothing here are passed over."""
        self.started_at = self.started_at or event.at
        self.last_at = event.at
        on_run = _ON_RUN.get(event.kind)
        if on_run is not None:
            on_run(self, event)
        on_stage = _ON_STAGE.get(event.kind)
        if on_stage is not None and event.team is not None and event.team in self._rows:
            on_stage(self._rows[event.team], event)

    def plan(self, event: Event) -> None:
        """The plan names the stages: rows stand in its order from then on."""
        payload: dict[str, Any] = event.payload
        self.title = str(payload.get("title", ""))
        waves: dict[str, int] = payload.get("waves", {})
        names: dict[str, str] = payload.get("names", {})
        for team in payload.get("teams", names):
            row = StageRow(team=team, name=str(names[team]), wave=int(waves.get(team, 0)))
            self._rows.setdefault(team, row)


def _created(progress: Progress, event: Event) -> None:
    progress.requirement = str(event.payload.get("requirement", ""))
    progress.project = str(event.payload.get("project", ""))
    progress.pipeline = str(event.payload.get("pipeline", ""))


def _status(progress: Progress, event: Event) -> None:
    progress.status = str(event.payload["to"])
    progress.failure = str(event.payload.get("reason", progress.failure))


def _assessed(progress: Progress, event: Event) -> None:
    progress.risk = str(event.payload["risk"])


def _called(progress: Progress, event: Event) -> None:
    tokens, cost = _spent(event)
    progress.tokens += tokens
    progress.cost_usd += cost


def _asked(progress: Progress, event: Event) -> None:
    progress.waiting[str(event.payload["approval_id"])] = str(event.payload.get("question", ""))


def _decided(progress: Progress, event: Event) -> None:
    progress.waiting.pop(str(event.payload["approval_id"]), None)


def _released(progress: Progress, event: Event) -> None:
    progress.tag = str(event.payload["tag"])
    progress.commit = str(event.payload["commit"])
    progress.repository = str(event.payload["repository"])


def _requested(progress: Progress, event: Event) -> None:
    progress.pull_request = str(event.payload["url"])


def _checked(progress: Progress, event: Event) -> None:
    if event.team is None:
        progress.checks[str(event.payload["name"])] = check_report.summary_of(event)


def _rolled_back(progress: Progress, event: Event) -> None:
    """What was undone waits again; what it cost was spent."""
    kept: list[Any] = cast("list[Any]", event.payload["kept"])
    progress.tag = progress.commit = progress.pull_request = progress.failure = ""
    progress.ended_at = None
    progress.round = int(str(event.payload["round"]))
    progress.checks.clear()
    for row in progress.rows:
        if row.team not in kept and row.state != "skipped":
            row.state, row.verdict, row.doing, row.attempts = "waiting", "", "", 0
            row.ended_at = None


def _round(progress: Progress, event: Event) -> None:
    progress.round = int(str(event.payload["round"]))


def _ended(progress: Progress, event: Event) -> None:
    progress.ended_at = event.at
    for row in progress.rows:
        if row.state in {"running", "asking"}:
            row.state, row.verdict, row.ended_at = "failed", "fail", event.at
            row.seconds = (event.at - row.started_at).total_seconds() if row.started_at else 0.0
            row.doing = "stopped with the run"


_ON_RUN: dict[str, Callable[[Progress, Event], None]] = {
    "run.created": _created,
    "run.status": _status,
    "run.ended": _ended,
    "governance.assessed": _assessed,
    "plan.decided": Progress.plan,
    "model.called": _called,
    "approval.requested": _asked,
    "approval.decided": _decided,
    "release.done": _released,
    "release.requested": _requested,
    "check.ran": _checked,
    "run.rolled_back": _rolled_back,
    "round.started": _round,
}


def _row_started(row: StageRow, event: Event) -> None:
    row.state, row.verdict, row.ended_at = "running", "", None
    row.started_at = row.started_at or event.at
    row.attempts = 1
    row.doing = "reads its brief"


def _row_called(row: StageRow, event: Event) -> None:
    tokens, cost = _spent(event)
    row.tokens += tokens
    row.cost_usd += cost
    if row.state == "running":
        row.doing = {"work": "works", "review": "is reviewed", "report": "reports"}.get(
            str(event.payload.get("call")), row.doing
        )


def _row_action(row: StageRow, event: Event) -> None:
    row.doing = f"{event.payload.get('tool')} {event.payload.get('summary', '')}".strip()


def _row_check(row: StageRow, event: Event) -> None:
    word = {True: "holds", False: "fails", None: "not run"}[_tick(event.payload["passed"])]
    row.doing = f"check {event.payload['name']}: {word}"


def _row_ruled(row: StageRow, event: Event) -> None:
    verdict = str(event.payload["verdict"])
    if verdict == "retry":
        row.attempts += 1
        row.doing = "tries again"
    elif verdict == "escalate":
        row.verdict = "blocked"


def _row_clarifies(row: StageRow, event: Event) -> None:
    row.doing = f"asks {event.payload.get('target')}"


def _row_asks(row: StageRow, event: Event) -> None:
    row.state = "asking"
    row.doing = "waits for a person"


def _row_answered(row: StageRow, event: Event) -> None:
    row.state, row.verdict = "running", ""
    row.doing = "has an answer"


def _row_repairs(row: StageRow, event: Event) -> None:
    row.state, row.doing = "running", "repairs a conflict with main"


def _row_repaired(row: StageRow, event: Event) -> None:
    row.state, row.doing = "done", ""


def _row_ended(row: StageRow, event: Event) -> None:
    row.verdict = str(event.payload["verdict"])
    row.attempts = int(str(event.payload["attempts"]))
    row.state = "done" if row.verdict == "pass" else "failed"
    row.ended_at = event.at
    row.seconds = (event.at - row.started_at).total_seconds() if row.started_at else 0.0
    row.doing = ""


def _row_skipped(row: StageRow, event: Event) -> None:
    row.state, row.verdict = "skipped", "skipped"
    row.skipped_because = str(event.payload["reason"])


_ON_STAGE: dict[str, Callable[[StageRow, Event], None]] = {
    "stage.started": _row_started,
    "stage.ended": _row_ended,
    "repair.started": _row_repairs,
    "repair.ended": _row_repaired,
    "stage.skipped": _row_skipped,
    "model.called": _row_called,
    "action.called": _row_action,
    "check.ran": _row_check,
    "gate.decided": _row_ruled,
    "clarification.asked": _row_clarifies,
    "approval.requested": _row_asks,
    "approval.decided": _row_answered,
}


def _spent(event: Event) -> tuple[int, float]:
    payload: dict[str, Any] = event.payload
    return int(payload["input_tokens"]) + int(payload["output_tokens"]), float(payload["cost_usd"])


def _tick(value: Any) -> bool | None:
    return None if value is None else bool(value)
