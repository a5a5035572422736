"""What a person decides: a row each, asked once and decided once, whichever surface is first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast

from psycopg.rows import DictRow

from core import clock
from core.errors import BadInput, FactoryError, NotFound
from core.json import JsonObject, JsonValue
from core.redaction import redact
from governance import queries
from governance.policy import Risk
from models.spending.amount import AmountInvalid, usd
from models.spending.caps import LEAST

if TYPE_CHECKING:
    from core.database import Database
    from core.events import EventLog

Kind = Literal["approval", "clarification", "escalation", "review", "budget", "release", "promotion"]
Decision = Literal["approve", "edit", "reject", "respond", "expired"]
"""approve: as proposed. edit: approved with another text. reject: no, finally. respond: an answer, a comment.
expired: nobody decided before the deadline or the run's end; no person decides this."""

Deadline = Callable[[str, Kind], Awaitable[datetime | None]]
"""Says when a question of a run expires that is asked now."""

MOST_ANSWER_CHARS = 100_000
CLOCK = "the clock"
"""Who decides `expired`."""
END_OF_RUN = "the end of the run"
"""Who decides what is still open when a run ends."""
ROLLBACK = "a rollback"
"""Who decides what is still open when a run is taken back to before it was asked."""


@dataclass(frozen=True, slots=True)
class Approval:
    """One question to a person, and its decision once there is one."""

    id: str
    run_id: str
    kind: Kind
    team: str | None
    key: str
    """Names the question within its run: the same key is the same question."""
    risk: Risk
    title: str
    question: str
    detail: JsonObject
    allowed: tuple[Decision, ...]
    default_answer: str | None
    """What an answer without a text means."""
    created_at: datetime
    expires_at: datetime | None
    decision: Decision | None
    answer: str | None
    decided_by: str | None
    decided_at: datetime | None


class ApprovalNotFound(NotFound):
    """There is no approval of that id."""


class AlreadyDecided(FactoryError):
    """Somebody was quicker."""

    http_status = 409
    exit_code = 2

    def __init__(self, approval: Approval) -> None:
        self.approval = approval
        when = approval.decided_at.isoformat(timespec="seconds") if approval.decided_at else "before"
        answer = f" ({redact(approval.answer)[:200]})" if approval.answer else ""
        super().__init__(
            f"{approval.id} was decided by {approval.decided_by} at {when}: {approval.decision}{answer}",
            untouched="That decision stands, and yours was not recorded",
        )


class NotAllowed(BadInput):
    """The decision is none of those that the question allows."""


class AnswerMissing(BadInput):
    """The decision needs a text, and the question has no default."""


class Approvals:
    """The questions of all runs."""

    def __init__(self, db: Database, events: EventLog, deadline: Deadline | None = None) -> None:
        self._db = db
        self._events = events
        self._deadline = deadline
        self.decided: Callable[[queries.Connection, Approval], Awaitable[object]] | None = None
        """Called with what was decided, in the transaction that records it."""

    async def request(
        self,
        run_id: str,
        *,
        kind: Kind,
        key: str,
        title: str,
        question: str,
        allowed: Sequence[Decision],
        risk: Risk = "LOW",
        team: str | None = None,
        detail: JsonObject | None = None,
        default_answer: str | None = None,
        expires_at: datetime | None = None,
    ) -> Approval:
        """Ask a person. The same (run, key) again returns the first question, decided or not.

        Without `expires_at` it expires when the project's settings say so, by default never. The row and its
        event `approval.requested` are one transaction.
        """
        if not allowed or "expired" in allowed:
            raise NotAllowed("A question must allow at least one decision, and never `expired`")
        if expires_at is None and self._deadline is not None:
            expires_at = await self._deadline(run_id, kind)
        async with self._db.pool.connection() as conn, conn.transaction():
            row = await queries.insert(
                conn,
                id=clock.new_id("approval"),
                run_id=run_id,
                kind=kind,
                team=team,
                key=key,
                risk=risk,
                title=redact(_storable(title)),
                question=redact(_storable(question)),
                detail=redact(cast(JsonObject, _storable_value(detail or {}))),
                allowed=list(dict.fromkeys(allowed)),
                default_answer=None if default_answer is None else redact(_storable(default_answer)),
                created_at=clock.now(),
                expires_at=expires_at,
            )
            if row is None:
                row = await queries.by_key(conn, run_id, key)
                assert row is not None
                return approval_of(row)
            approval = approval_of(row)
            payload: JsonObject = {
                "approval_id": approval.id,
                "kind": kind,
                "risk": risk,
                "title": approval.title,
                "question": approval.question,
                "allowed": list(approval.allowed),
                "default_answer": approval.default_answer,
                "expires_at": expires_at.isoformat() if expires_at else None,
            }
            event_key = f"approval/{key}/requested"
            await self._events.append(
                run_id, "approval.requested", payload, team=team, key=event_key, conn=conn
            )
        return approval

    async def decide(self, approval_id: str, decision: Decision, *, answer: str | None, by: str) -> Approval:
        """Record a decision, once. An answer that is missing is the question's default.

        The row and its event `approval.decided` are one transaction. Raises `ApprovalNotFound`,
        `NotAllowed`, `AnswerMissing`, and `AlreadyDecided` when somebody, or the deadline, was quicker.
        """
        asked = await self.get(approval_id)
        if asked.decision is not None:
            raise AlreadyDecided(asked)
        text = redact(_checked_answer(asked, decision, answer) or "") or None
        decided = await self._decide(asked, decision, text, by.strip() or "a person")
        if decided is not None:
            return decided
        await self._decide(asked, "expired", None, CLOCK)  # no effect unless the deadline is why
        raise AlreadyDecided(await self.get(approval_id))

    async def get(self, approval_id: str) -> Approval:
        """One question; raises `ApprovalNotFound`."""
        row = None
        if (
            approval_id.isprintable()
        ):  # what is not names nothing, and not all of it can be put to the database
            async with self._db.pool.connection() as conn:
                row = await queries.by_id(conn, approval_id)
        if row is None:
            raise ApprovalNotFound(
                f"There is no approval {approval_id[:80]!r}",
                todo="`factory show RUN` lists a run's open questions with their ids",
            )
        return approval_of(row)

    async def pending(self, run_id: str | None = None) -> list[Approval]:
        """The open questions of a run, or of all, oldest first; overdue ones too, until `expire`."""
        async with self._db.pool.connection() as conn:
            return [approval_of(row) for row in await queries.pending(conn, run_id)]

    async def page(
        self,
        *,
        after: tuple[datetime, str] | None = None,
        limit: int = 50,
        run_id: str | None = None,
        kind: Kind | None = None,
        decided: bool | None = None,
        projects: Sequence[str] | None = None,
    ) -> list[Approval]:
        """At most `limit` questions, the oldest first, of those that come after (created_at, id)."""
        async with self._db.pool.connection() as conn:
            rows = await queries.page(
                conn,
                after=after,
                limit=limit,
                run_id=run_id,
                kind=kind,
                decided=decided,
                projects=None if projects is None else [*projects],
            )
        return [approval_of(row) for row in rows]

    async def decided_in_project(self, run_id: str, prefix: str) -> list[Approval]:
        """What people decided about keys that begin so, in all runs of the run's project, oldest first."""
        async with self._db.pool.connection() as conn:
            return [approval_of(row) for row in await queries.decided_in_project(conn, run_id, prefix)]

    async def expire(self, now: datetime) -> list[Approval]:
        """Decide `expired` for each open question whose deadline is at or before `now`; those it decided."""
        async with self._db.pool.connection() as conn:
            due = [approval_of(row) for row in await queries.due(conn, now)]
        # One transaction each, so that two processes that do this at once can never wait for each other.
        decided = [await self._decide(asked, "expired", None, CLOCK, at=now) for asked in due]
        return [approval for approval in decided if approval is not None]

    async def _decide(
        self, asked: Approval, decision: Decision, answer: str | None, by: str, *, at: datetime | None = None
    ) -> Approval | None:
        async with self._db.pool.connection() as conn, conn.transaction():
            row = await queries.decide(
                conn,
                asked.id,
                decision=decision,
                answer=answer,
                by=redact(_storable(by)),
                at=at or await self._db.now(conn),
            )
            if row is None:
                return None
            approval = approval_of(row)
            await _tell_decided(conn, self._events, approval)
            if self.decided is not None:
                await self.decided(conn, approval)
        return approval


async def close_open(
    conn: queries.Connection, events: EventLog, run_id: str, *, why: str, by: str = END_OF_RUN
) -> None:
    """Expire what is still open of a run that ends or is taken back, in the transaction that does it."""
    for row in await queries.close(conn, run_id, answer=why, by=by, at=clock.now()):
        await _tell_decided(conn, events, approval_of(row))


async def _tell_decided(conn: queries.Connection, events: EventLog, approval: Approval) -> None:
    payload: JsonObject = {
        "approval_id": approval.id,
        "kind": approval.kind,
        "decision": approval.decision,
        "answer": approval.answer,
        "by": approval.decided_by,
    }
    event_key = f"approval/{approval.key}/decided"
    await events.append(
        approval.run_id, "approval.decided", payload, team=approval.team, key=event_key, conn=conn
    )


def _checked_answer(asked: Approval, decision: Decision, answer: str | None) -> str | None:
    if decision not in asked.allowed:
        raise NotAllowed(
            f"{decision!r} is no decision that {asked.id} allows",
            untouched="Nothing was decided",
            todo=f"Allowed: {', '.join(asked.allowed)}",
        )
    text = _storable(answer).strip() if answer else ""
    if len(text) > MOST_ANSWER_CHARS:
        raise BadInput(
            f"The answer is longer than {MOST_ANSWER_CHARS} characters", untouched="Nothing was decided"
        )
    if not text and decision in ("respond", "edit", "approve"):
        text = asked.default_answer or ""
    if not text and decision in ("respond", "edit"):
        raise AnswerMissing(
            f"To {decision}, {asked.id} needs a text", untouched="Nothing was decided", todo="Give the answer"
        )
    if text and asked.kind == "budget" and decision != "reject":
        text = _amount(text)
    return text or None


def _amount(text: str) -> str:
    """The US dollars that extend a budget, in plain digits."""
    try:
        return str(usd(text, least=LEAST))
    except AmountInvalid as invalid:
        raise AmountInvalid(
            invalid.what,
            untouched="Nothing was decided",
            todo=f"Say by how much to extend it. {invalid.todo}",
        ) from None


def approval_of(row: DictRow) -> Approval:
    """The question that a row is."""
    fields: dict[str, Any] = dict(row)
    fields["allowed"] = tuple(fields["allowed"])
    return Approval(**fields)


def _storable(text: str) -> str:
    """Without what Postgres and UTF-8 cannot hold; a model may have written it."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def _storable_value(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, Mapping):
        return {_storable(name): _storable_value(item) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [_storable_value(item) for item in value]
    return value


def hitl_request(approval: Approval) -> dict[str, Any]:
    """The interrupt's payload: LangChain's HITLRequest with one action, and our own fields beside it."""
    arguments: dict[str, Any] = {
        "question": approval.question,
        "answer": approval.default_answer or "",
        "detail": approval.detail,
    }
    return {
        "action_requests": [
            {
                "name": approval.kind,
                "args": arguments,
                "arguments": arguments,
                "description": f"{approval.title}\n\n{approval.question}",
            }
        ],
        "review_configs": [{"action_name": approval.kind, "allowed_decisions": list(approval.allowed)}],
        "approval_id": approval.id,
        "kind": approval.kind,
        "risk": approval.risk,
        "expires_at": approval.expires_at.isoformat() if approval.expires_at else None,
    }
