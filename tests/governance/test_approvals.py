"""A question to a person: asked once, decided once, with its events, on a real database."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from core import clock
from core.database import Database
from core.errors import BadInput
from core.events import EventLog
from governance.approvals import (
    AlreadyDecided,
    AnswerMissing,
    Approval,
    ApprovalNotFound,
    Approvals,
    NotAllowed,
    hitl_request,
)


@pytest.fixture
def events(database: Database) -> EventLog:
    return EventLog(database)


@pytest.fixture
def approvals(database: Database, events: EventLog) -> Approvals:
    return Approvals(database, events)


async def ask(approvals: Approvals, key: str = "review/1", run_id: str = "run-1", **how: Any) -> Approval:
    question: dict[str, Any] = {
        "kind": "review",
        "title": "Review",
        "question": "Is it good?",
        "allowed": ("approve", "reject", "respond"),
        "risk": "MEDIUM",
        "detail": {"files": ["a"], "n": 1},
    }
    return await approvals.request(run_id, key=key, **{**question, **how})


async def kinds(events: EventLog, run_id: str = "run-1") -> list[str]:
    return [event.kind for event in await events.read(run_id)]


async def test_the_same_question_is_asked_once(approvals: Approvals, events: EventLog) -> None:
    first, again = await ask(approvals), await ask(approvals, question="Something else?")
    assert again == first
    assert first.detail == {"files": ["a"], "n": 1}
    assert first.allowed == ("approve", "reject", "respond")
    other = await ask(approvals, run_id="run-2")
    assert other.id != first.id
    assert await kinds(events) == ["approval.requested"]
    assert await approvals.pending("run-1") == [first]
    assert await approvals.pending() == [first, other]


async def test_many_at_once_ask_one_question(approvals: Approvals, events: EventLog) -> None:
    asked = await asyncio.gather(*(ask(approvals) for _ in range(8)))
    assert len({approval.id for approval in asked}) == 1
    assert await kinds(events) == ["approval.requested"]


async def test_a_decision_is_recorded_with_who_and_when(approvals: Approvals, events: EventLog) -> None:
    asked = await ask(approvals)
    decided = await approvals.decide(asked.id, "respond", answer=" louder ", by="ada")
    assert (decided.decision, decided.answer, decided.decided_by) == ("respond", "louder", "ada")
    assert decided.decided_at is not None
    assert await approvals.get(asked.id) == decided
    assert await approvals.pending("run-1") == []
    assert await ask(approvals) == decided
    [_, event] = await events.read("run-1")
    assert event.kind == "approval.decided"
    assert event.payload["approval_id"] == asked.id
    assert (event.payload["decision"], event.payload["by"]) == ("respond", "ada")


async def test_of_two_people_at_once_exactly_one_decides(approvals: Approvals, events: EventLog) -> None:
    asked = await ask(approvals)
    outcomes = await asyncio.gather(
        approvals.decide(asked.id, "approve", answer=None, by="ada"),
        approvals.decide(asked.id, "reject", answer="no", by="bob"),
        return_exceptions=True,
    )
    [winner] = [outcome for outcome in outcomes if isinstance(outcome, Approval)]
    [loser] = [outcome for outcome in outcomes if isinstance(outcome, AlreadyDecided)]
    assert loser.approval == winner
    assert f"was decided by {winner.decided_by}" in str(loser)
    assert str(winner.decision) in str(loser)
    assert await kinds(events) == ["approval.requested", "approval.decided"]


async def test_whoever_looked_before_the_decision_still_decides_nothing(
    approvals: Approvals, events: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await ask(approvals)
    looked = asyncio.Barrier(6)
    look = approvals.get
    first = set[asyncio.Task[Any] | None]()

    async def look_together(approval_id: str) -> Approval:
        seen = await look(approval_id)
        task = asyncio.current_task()
        if task not in first:
            first.add(task)
            await looked.wait()
        return seen

    monkeypatch.setattr(approvals, "get", look_together)
    outcomes = await asyncio.gather(
        *(approvals.decide(asked.id, "approve", answer=None, by=f"person {n}") for n in range(6)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Approval) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, AlreadyDecided) for outcome in outcomes) == 5
    assert (await kinds(events)).count("approval.decided") == 1


async def test_a_late_answer_is_told_who_was_quicker(approvals: Approvals) -> None:
    asked = await ask(approvals)
    await approvals.decide(asked.id, "reject", answer="too dear", by="ada")
    with pytest.raises(AlreadyDecided, match=r"decided by ada at .*: reject \(too dear\)"):
        await approvals.decide(asked.id, "approve", answer=None, by="bob")


async def test_only_what_the_question_allows_can_be_decided(approvals: Approvals) -> None:
    asked = await ask(approvals, allowed=("approve", "reject"))
    for decision in ("edit", "respond", "expired"):
        with pytest.raises(NotAllowed, match="approve, reject"):
            await approvals.decide(asked.id, decision, answer="x", by="ada")  # type: ignore[arg-type]
    assert (await approvals.get(asked.id)).decision is None
    with pytest.raises(NotAllowed):
        await ask(approvals, key="other", allowed=())


async def test_an_answer_that_is_missing_is_the_default(approvals: Approvals) -> None:
    plain = await ask(approvals)
    with pytest.raises(AnswerMissing):
        await approvals.decide(plain.id, "respond", answer="  ", by="ada")
    assumed = await ask(approvals, key="2", default_answer="As you assumed.")
    decided = await approvals.decide(assumed.id, "respond", answer=None, by="ada")
    assert decided.answer == "As you assumed."
    refused = await ask(approvals, key="3", default_answer="As you assumed.")
    assert (await approvals.decide(refused.id, "reject", answer=None, by="ada")).answer is None


async def test_an_unknown_question_is_not_found(approvals: Approvals) -> None:
    with pytest.raises(ApprovalNotFound):
        await approvals.get("approval-x")
    with pytest.raises(ApprovalNotFound):
        await approvals.decide("approval-x", "approve", answer=None, by="ada")


@pytest.mark.parametrize("name", ["approval-\x00", "\udcff", "approval-" + "x" * 100_000])
async def test_a_name_that_no_question_can_have_is_not_found(approvals: Approvals, name: str) -> None:
    with pytest.raises(ApprovalNotFound) as refused:
        await approvals.get(name)
    assert len(str(refused.value)) < 500


async def test_a_deadline_that_passes_decides_expired_once(approvals: Approvals, events: EventLog) -> None:
    with clock.use(clock.TestClock()) as time:
        assert isinstance(time, clock.TestClock)
        asked = await ask(approvals, expires_at=clock.now() + timedelta(hours=1))
        later = await ask(approvals, key="later")
        assert await approvals.expire(clock.now()) == []
        time.advance(3600)
        both = await asyncio.gather(approvals.expire(clock.now()), approvals.expire(clock.now()))
        [expired] = [approval for found in both for approval in found]
        assert (expired.id, expired.decision, expired.decided_by) == (asked.id, "expired", "the clock")
        assert await approvals.pending() == [later]
        assert (await kinds(events)).count("approval.decided") == 1


async def test_a_decision_after_the_deadline_comes_too_late(approvals: Approvals) -> None:
    with clock.use(clock.TestClock()) as time:
        assert isinstance(time, clock.TestClock)
        asked = await ask(approvals, expires_at=clock.now() + timedelta(hours=1))
        time.advance(3601)
        with pytest.raises(AlreadyDecided, match=r"the clock.*expired"):
            await approvals.decide(asked.id, "approve", answer=None, by="ada")
        assert (await approvals.get(asked.id)).decision == "expired"


async def test_what_a_model_wrote_can_always_be_stored(approvals: Approvals) -> None:
    asked = await ask(approvals, question="a\x00b \ud800 c", detail={"why\x00": ["\udfff", None, 1.5]})
    assert asked.question == "ab ? c"
    assert asked.detail == {"why": ["?", None, 1.5]}
    assert (await approvals.decide(asked.id, "respond", answer="x\x00y", by="ada\x00")).answer == "xy"


async def test_a_huge_answer_is_refused(approvals: Approvals) -> None:
    asked = await ask(approvals)
    with pytest.raises(BadInput, match="longer than"):
        await approvals.decide(asked.id, "respond", answer="x" * 200_000, by="ada")
    assert (await approvals.get(asked.id)).decision is None


async def test_a_secret_in_a_question_is_not_kept(approvals: Approvals) -> None:
    token = "ghp_" + "a1B2" * 9
    asked = await ask(approvals, question=f"May I use {token}?")
    assert token not in asked.question


async def test_the_interrupt_carries_langchains_request_and_our_own_fields(approvals: Approvals) -> None:
    asked = await ask(approvals, default_answer="Yes.")
    request = hitl_request(asked)
    [action], [config] = request["action_requests"], request["review_configs"]
    assert action["name"] == config["action_name"] == "review"
    assert action["args"] == action["arguments"]
    assert action["args"]["answer"] == "Yes."
    assert "Is it good?" in action["description"]
    assert config["allowed_decisions"] == ["approve", "reject", "respond"]
    assert (request["approval_id"], request["kind"], request["risk"]) == (asked.id, "review", "MEDIUM")
    assert request["expires_at"] is None


async def test_a_decision_without_its_event_is_no_decision(
    approvals: Approvals, events: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await ask(approvals)

    async def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(events, "append", refuse)
    with pytest.raises(ConnectionError):
        await approvals.decide(asked.id, "approve", answer=None, by="ada")
    with pytest.raises(ConnectionError):
        await ask(approvals, key="other")
    assert await approvals.pending() == [asked]
