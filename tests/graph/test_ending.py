"""How a run ends: what was still open is closed with it, and who waited for another driver takes over."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from core.database import Database
from core.events import EventLog
from governance.approvals import AlreadyDecided, Approvals
from graph.alone import only_driver
from graph.lifecycle import ENDED, RunStatus, move
from graph.progress import Progress
from graph.runs import Runs
from tests.graph.conftest import OpenSmall
from tests.graph.test_people import of_kind


@pytest.mark.parametrize("status", sorted(ENDED - {"completed", "rejected"}))
async def test_a_run_that_ends_closes_its_open_questions_in_the_same_transaction(
    database: Database, tmp_path: Path, status: RunStatus
) -> None:
    events = EventLog(database)
    approvals = Approvals(database, events)
    ids = [
        await Runs(database, events).create(
            "x", project="p", repository=tmp_path, pipeline="core", model=None, approve_all=False
        )
        for _ in range(2)
    ]
    asked, other = [
        await approvals.request(
            run_id, kind="clarification", key="k", title="t", question="q", allowed=("respond",)
        )
        for run_id in ids
    ]
    await move(database, events, ids[0], status, failure="token sk-abcdefghij0123456789")
    closed = await approvals.get(asked.id)
    assert (closed.decision, closed.decided_by) == ("expired", "the end of the run")
    assert [event.kind for event in await events.read(ids[0])][-2:] == ["approval.decided", "run.status"]
    assert "sk-abc" not in str((await Runs(database, events).get(ids[0])).failure)
    with pytest.raises(AlreadyDecided, match="the end of the run"):
        await approvals.decide(asked.id, "respond", answer="too late", by="me")
    assert [approval.id for approval in await approvals.pending()] == [other.id]


async def test_who_stops_one_stage_ends_the_run_though_another_waits_for_a_person(
    open_small: OpenSmall,
) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages")
        waiting = (await factory.drive(run_id)).waiting
        await factory.answer(of_kind(waiting, "escalation").id, "reject", "no paint", by="me")
        outcome = await factory.drive(run_id)
        assert (outcome.status, outcome.waiting) == ("failed", ())
        summary = await factory.summary(run_id)
        assert "painter: stopped by me: no paint" in str(summary.failure)
        assert {stage.team: stage.verdict for stage in summary.stages}["maker"] == "fail"
        progress = Progress.of(await factory.events.read(run_id))
        assert {row.state for row in progress.rows} <= {"done", "failed", "skipped", "waiting"}
        assert (await factory.drive(run_id)).status == "failed"


async def test_who_waits_for_a_driver_that_dies_takes_the_run_over(open_small: OpenSmall) -> None:
    async with open_small() as one, open_small() as two:
        run_id = await one.submit("Small pages", pipeline="one")
        # A driver that holds the run and goes without having done anything, as a killed one does.
        async with only_driver(one.db, run_id) as mine:
            assert mine
            waiting = asyncio.create_task(two.drive(run_id))
            done, _ = await asyncio.wait({waiting}, timeout=0.5)
            assert not done
        outcome = await waiting
        assert [approval.kind for approval in outcome.waiting] == ["review"]


async def test_a_release_that_nobody_can_merge_and_a_person_stops_leaves_both_as_they_were(
    open_small: OpenSmall,
) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
        review = (await factory.drive(run_id)).waiting[0]
        checkout = (await factory.services.repository(run_id)).path
        (checkout / "docs").mkdir()
        (checkout / "docs" / "scout.md").write_text("# Somebody else's\n")
        me = ["-c", "user.name=Me", "-c", "user.email=me@localhost"]
        for command in (["add", "."], [*me, "commit", "-qm", "Mine"]):
            subprocess.run(["git", "-C", str(checkout), *command], check=True)
        await factory.answer(review.id, "approve", None, by="me")
        (asked,) = (await factory.drive(run_id)).waiting
        assert asked.kind == "escalation"
        assert "docs/scout.md" in asked.question
        await factory.answer(asked.id, "reject", None, by="me")
        outcome = await factory.drive(run_id)
        assert outcome.status == "failed"
        failure = str((await factory.summary(run_id)).failure)
        assert f"factory/{run_id}" in failure
        assert (checkout / "docs" / "scout.md").read_text() == "# Somebody else's\n"


async def test_an_error_that_stops_a_run_stands_in_its_log_and_the_run_goes_on_later(
    open_small: OpenSmall,
) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
        folder = (await factory.services.repository(run_id)).path
        folder.rename(folder.with_name("elsewhere"))
        with pytest.raises(FileNotFoundError):
            await factory.drive(run_id)
        told = await factory.events.read(run_id, kinds=["run.interrupted"])
        assert len(told) == 1
        assert told[0].payload["error"]
        folder.with_name("elsewhere").rename(folder)
        assert [approval.kind for approval in (await factory.drive(run_id)).waiting] == ["review"]
