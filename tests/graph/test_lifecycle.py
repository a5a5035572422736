from typing import get_args

import pytest

from core.database import Database
from core.events import EventLog
from graph.lifecycle import ENDED, TRANSITIONS, IllegalTransition, RunStatus, may_move, move
from graph.runs import Runs


def test_from_every_live_status_a_run_can_fail_or_be_cancelled_and_from_an_ended_one_go_nowhere() -> None:
    for status in get_args(RunStatus):
        assert (
            TRANSITIONS[status] == frozenset()
            if status in ENDED
            else {"failed", "cancelled"} <= TRANSITIONS[status]
        )


def test_every_status_can_be_reached_from_a_draft() -> None:
    reached: set[str] = set()
    edge: list[RunStatus] = ["draft"]
    while edge:
        status = edge.pop()
        if status not in reached:
            reached.add(status)
            edge += TRANSITIONS[status]
    assert reached == set(get_args(RunStatus))


def test_nothing_is_released_without_validation() -> None:
    assert not may_move("in_progress", "deployable")
    assert not may_move("in_progress", "completed")


async def test_a_transition_is_an_event_and_a_repeated_one_is_none(database: Database, tmp_path) -> None:
    events = EventLog(database)
    run_id = await Runs(database, events).create(
        "x", project="p", repository=tmp_path, pipeline="core", model=None, approve_all=False
    )
    assert await move(database, events, run_id, "governance_analysis")
    assert not await move(database, events, run_id, "governance_analysis")
    changes = await events.read(run_id, kinds=["run.status"])
    assert [event.payload for event in changes] == [{"from": "draft", "to": "governance_analysis"}]


async def test_an_illegal_transition_raises_and_changes_nothing(database: Database, tmp_path) -> None:
    events = EventLog(database)
    runs = Runs(database, events)
    run_id = await runs.create(
        "x", project="p", repository=tmp_path, pipeline="core", model=None, approve_all=False
    )
    with pytest.raises(IllegalTransition, match="draft and cannot become completed"):
        await move(database, events, run_id, "completed")
    assert (await runs.get(run_id)).status == "draft"
    assert not await events.read(run_id, kinds=["run.status"])
