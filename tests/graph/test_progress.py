from datetime import UTC, datetime, timedelta
from typing import Any

from core.events import Event
from graph.progress import Progress

START = datetime(2030, 1, 1, tzinfo=UTC)


def events(*told: tuple[str, str | None, dict[str, Any]]) -> list[Event]:
    return [
        Event("run-1", seq, START + timedelta(seconds=seq), kind, team, payload, "", "")
        for seq, (kind, team, payload) in enumerate(told, 1)
    ]


PLAN = (
    "plan.decided",
    None,
    {
        "title": "Library",
        "teams": ["a", "b"],
        "names": {"b": "Bees", "a": "Ants"},
        "waves": {"a": 1, "b": 2},
        "skipped": {},
    },
)
CALL = {"call": "work", "input_tokens": 10, "output_tokens": 5, "cost_usd": 0.25}


def test_stages_stand_in_the_order_of_the_pipeline() -> None:
    assert [row.team for row in Progress.of(events(PLAN)).rows] == ["a", "b"]


def test_tokens_and_cost_add_up_per_stage_and_for_the_run() -> None:
    progress = Progress.of(events(PLAN, ("model.called", "a", CALL), ("model.called", None, CALL)))
    assert (progress.rows[0].tokens, progress.rows[0].cost_usd) == (15, 0.25)
    assert (progress.tokens, progress.cost_usd) == (30, 0.5)


def test_a_stage_that_ended_shows_verdict_attempts_and_time() -> None:
    progress = Progress.of(
        events(
            PLAN,
            ("stage.started", "a", {"round": 1, "name": "Ants"}),
            ("gate.decided", "a", {"verdict": "retry", "reasons": ["x"], "attempt": 1}),
            ("stage.ended", "a", {"verdict": "pass", "attempts": 2, "reason": ""}),
        )
    )
    row = progress.rows[0]
    assert (row.state, row.verdict, row.attempts, row.seconds) == ("done", "pass", 2, 2.0)


def test_a_stage_that_waits_for_a_person_says_so_until_it_is_answered() -> None:
    asked = ("approval.requested", "a", {"approval_id": "approval-1", "kind": "escalation", "question": "?"})
    blocked = ("gate.decided", "a", {"verdict": "escalate", "reasons": ["x"], "attempt": 1})
    started = ("stage.started", "a", {"round": 1, "name": "Ants"})
    progress = Progress.of(events(PLAN, started, blocked, asked))
    assert (progress.rows[0].state, progress.rows[0].verdict) == ("asking", "blocked")
    assert progress.waiting == {"approval-1": "?"}
    decided = ("approval.decided", "a", {"approval_id": "approval-1", "decision": "respond", "by": "me"})
    progress = Progress.of(events(PLAN, started, blocked, asked, decided))
    assert (progress.rows[0].state, progress.rows[0].verdict) == ("running", "")
    assert progress.waiting == {}


def test_a_skipped_stage_keeps_its_reason() -> None:
    progress = Progress.of(events(PLAN, ("stage.skipped", "b", {"reason": "no page"})))
    assert (progress.rows[1].state, progress.rows[1].skipped_because) == ("skipped", "no page")


def test_an_unknown_event_changes_nothing() -> None:
    assert Progress.of(events(PLAN, ("weather.changed", "a", {}))).rows == Progress.of(events(PLAN)).rows
