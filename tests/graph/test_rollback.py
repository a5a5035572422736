"""A run is taken back to any of its stages: repository, state and event log agree, and it completes again."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from core.audit import verify
from graph.alone import only_driver
from graph.driver import RunBusy
from graph.rollback import StageNotEnded
from graph.runner import Factory
from tests.faults.scenario import answer
from tests.graph.conftest import OpenSmall

STAGES = ("plan", "scout", "maker", "painter", "closer")


def git(factory: Factory, *arguments: str) -> str:
    (folder,) = (factory.settings.home / "projects").glob("*/repository")
    return subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


async def to_the_end(factory: Factory, run_id: str) -> None:
    outcome = await factory.drive(run_id)
    while outcome.waiting:
        for asked in outcome.waiting:
            await answer(factory, asked)
        outcome = await factory.drive(run_id)
    assert outcome.status == "completed"


async def finished(factory: Factory) -> str:
    run_id = await factory.submit("Small pages", project="small")
    await to_the_end(factory, run_id)
    return run_id


async def state_of(factory: Factory, run_id: str) -> dict[str, Any]:
    graph = await factory.graph(await factory.services.run(run_id))
    return (await graph.aget_state({"configurable": {"thread_id": run_id}})).values


async def assert_they_agree(factory: Factory, run_id: str, stage: str, head: str) -> None:
    """Branch, state, record and log tell the same commit and the same stages."""
    told = (await factory.events.read(run_id, kinds=["run.rolled_back"]))[-1].payload
    run = await factory.services.run(run_id)
    state = await state_of(factory, run_id)
    repository = await factory.services.repository(run_id)
    commit = await repository.run_head(run_id)
    assert commit == told["commit"]
    assert told["head"] == head == git(factory, "rev-parse", str(told["old_head"]))
    assert (run.status, run.tag, run.result_commit, run.ended_at) == ("in_progress", None, None, None)
    assert state["rollbacks"] == run.rollbacks == told["number"]
    done = {team: one["commit"] for team, one in state["results"].items() if one["verdict"] == "pass"}
    assert sorted(done) == sorted(told["kept"])  # pyright: ignore[reportArgumentType]
    if stage == "plan":
        assert not done
        assert commit == run.base_commit
    else:
        assert done[stage] == commit
    made = git(
        factory, "log", "--format=%(trailers:key=Factory-Team,valueonly)", f"{run.base_commit}..{commit}"
    )
    assert set(made.split()) == set(done)
    rows = {row.team: row.state for row in (await factory.progress(run_id)).rows}
    assert {team for team, row in rows.items() if row == "done"} == set(done)
    assert not await factory.approvals.pending(run_id)
    assert (await verify(factory.db, run_id)).ok


@pytest.mark.slow
async def test_a_finished_run_goes_back_to_each_of_its_stages_and_completes_again(
    open_small: OpenSmall,
) -> None:
    async with open_small() as factory:
        run_id = await finished(factory)
        repository = await factory.services.repository(run_id)
        tree, spent = await repository.product("refs/heads/main"), (await factory.summary(run_id)).tokens
        released = (await factory.summary(run_id)).tag
        for number, stage in enumerate(STAGES, start=1):
            head, main = await repository.run_head(run_id), git(factory, "rev-parse", "main")
            aim = await factory.roll_back(run_id, stage, by="Ada")
            assert aim.number == number
            await assert_they_agree(factory, run_id, stage, head)
            assert git(factory, "rev-parse", "main") == main, "main is never moved by a rollback"
            assert (await factory.summary(run_id)).tokens >= spent, "money spent stays spent"

            before = (await factory.summary(run_id)).tokens
            await to_the_end(factory, run_id)
            summary = await factory.summary(run_id)
            assert {one.verdict for one in summary.stages} <= {"pass", "skipped"}
            assert summary.tag == f"{released}.again{number}"
            assert await repository.product("refs/heads/main") == tree
            assert await repository.product(await repository.run_head(run_id)) == tree
            assert (summary.tokens > before) == (stage != "closer"), "what is done again is paid again"
            assert git(factory, "merge-base", "--is-ancestor", main, "main") == ""


async def test_what_is_not_made_again_leaves_main_with_the_next_release(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        run_id = await finished(factory)
        (folder,) = (factory.settings.home / "projects").glob("*/repository")
        (folder / "own.md").write_text("A person's page.\n")
        git(factory, "add", "own.md")
        git(factory, "-c", "user.name=Ada", "-c", "user.email=a@b", "commit", "-qm", "Mine")
        await factory.roll_back(run_id, "plan", by="Ada")
    async with open_small({"painter/work": lambda chat: "Done."}) as factory:
        outcome = await factory.drive(run_id)
        while outcome.waiting:
            for asked in outcome.waiting:
                if asked.team == "painter":
                    await factory.answer(asked.id, "approve", None, by="Ada")
                else:
                    await answer(factory, asked)
            outcome = await factory.drive(run_id)
        files = git(factory, "ls-tree", "-r", "--name-only", "main").split()
        assert "docs/painter.md" not in files
        assert {"docs/scout.md", "own.md"} <= set(files)


async def test_questions_of_what_is_undone_are_closed_as_superseded(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", project="small")
        outcome = await factory.drive(run_id)
        assert outcome.waiting
        await factory.roll_back(run_id, "scout", by="Ada")
        for asked in outcome.waiting:
            closed = await factory.approvals.get(asked.id)
            assert closed.decision == "expired"
            assert "superseded" in str(closed.answer)
        assert not await factory.approvals.pending(run_id)
        await to_the_end(factory, run_id)


async def test_a_stage_that_has_not_ended_and_a_run_that_is_driven_are_refused(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", project="small")
        with pytest.raises(StageNotEnded):
            await factory.roll_back(run_id, "scout", by="Ada")
        await factory.drive(run_id)
        for stage in ("closer", "idler", "nobody", "../scout"):
            with pytest.raises(StageNotEnded, match="as it stands"):
                await factory.roll_back(run_id, stage, by="Ada")
        async with only_driver(factory.db, run_id):
            with pytest.raises(RunBusy):
                await factory.roll_back(run_id, "scout", by="Ada")
        assert not await factory.events.read(run_id, kinds=["run.rollback_begun", "run.rolled_back"])
