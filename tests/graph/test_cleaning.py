"""What failed stages of ended runs left is removed when a person says so; nobody who works loses anything."""

import asyncio
import json
from pathlib import Path

import pytest

from cli.main import call
from graph.alone import only_driver
from graph.cleaning import clean
from graph.runner import Factory
from tests.graph.conftest import OpenSmall
from tests.packs.brain import Chat
from workspace.mcp.sandboxes import Sandboxes


def idle(chat: Chat) -> str:
    return "Done."


async def failed(factory: Factory) -> str:
    """A run whose only stage delivers nothing, and that a person stopped."""
    run_id = await factory.submit("Small pages", project="shop", pipeline="one")
    (asked,) = (await factory.drive(run_id)).waiting
    assert asked.kind == "escalation"
    await factory.answer(asked.id, "reject", None, by="Ada")
    assert (await factory.drive(run_id)).status == "failed"
    return run_id


def worktrees(factory: Factory) -> set[str]:
    """RUN/STAGE of each worktree that there is."""
    folder = factory.settings.home / "projects" / "shop" / "worktrees"
    return {f"{path.parent.name}/{path.name}" for path in folder.glob("*/*")}


async def test_worktrees_of_ended_runs_are_removed_and_those_of_live_ones_stay(open_small: OpenSmall) -> None:
    async with open_small({"scout/work": idle}) as factory:
        ended = await failed(factory)
        live = await factory.submit("More pages", project="shop", pipeline="one")
        assert [asked.kind for asked in (await factory.drive(live)).waiting] == ["escalation"]
        repository = await factory.services.project("shop")
        before = worktrees(factory)
        assert {each.partition("/")[0] for each in before} == {ended, live}

        dry = await clean(factory.db, factory.services.runs, repository, dry=True)
        assert worktrees(factory) == before
        told = await clean(factory.db, factory.services.runs, repository)
        assert told == dry
        assert {each.run_id: (each.removed, each.why) for each in told} == {
            ended: (True, ""),
            live: (False, "it has not ended"),
        }
        assert {each.partition("/")[0] for each in worktrees(factory)} == {live}
        assert await repository.run_head(ended), "the branch stays"
        (left,) = await clean(factory.db, factory.services.runs, repository)
        assert left.run_id == live

        (asked,) = await factory.approvals.pending(live)
        await factory.answer(asked.id, "approve", None, by="Ada")
        assert [each.kind for each in (await factory.drive(live)).waiting] == ["review"], "it goes on"


async def test_a_run_that_a_process_works_on_keeps_its_worktrees(open_small: OpenSmall) -> None:
    async with open_small({"scout/work": idle}) as factory:
        run_id = await failed(factory)
        repository, before = await factory.services.project("shop"), worktrees(factory)
        async with only_driver(factory.db, run_id):
            (left,) = await clean(factory.db, factory.services.runs, repository)
        assert (left.removed, left.why) == (False, "a process works on it")
        assert worktrees(factory) == before


async def test_sandboxes_of_mcp_clients_stay(open_small: OpenSmall) -> None:
    async with open_small({"scout/work": idle}) as factory:
        await failed(factory)
        sandboxes = Sandboxes(factory.settings)
        made = await sandboxes.create("shop")
        await clean(factory.db, factory.services.runs, await factory.services.project("shop"))
        assert (await sandboxes.files(made.sandbox)).files is not None
        assert {each.partition("/")[0] for each in worktrees(factory)} == {"mcp"}
        sandboxes.close()


async def test_a_cleaned_run_can_still_be_taken_back(open_small: OpenSmall) -> None:
    async with open_small({"painter/work": idle}) as factory:
        run_id = await factory.submit("Small pages", project="shop")
        outcome = await factory.drive(run_id)
        while outcome.waiting:
            for asked in outcome.waiting:
                stop = asked.team == "painter"
                words = None if stop or "respond" not in asked.allowed else "no extra"
                decision = "reject" if stop else "respond" if words else "approve"
                await factory.answer(asked.id, decision, words, by="Ada")
            outcome = await factory.drive(run_id)
        assert outcome.status == "failed"
        assert await clean(factory.db, factory.services.runs, await factory.services.project("shop"))
        await factory.roll_back(run_id, "scout", by="Ada")
        assert (await factory.drive(run_id)).status in {"awaiting_input", "completed"}


@pytest.mark.usefixtures("ollama_server")
async def test_the_command_says_what_it_removed(
    open_small: OpenSmall, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_small({"scout/work": idle}) as factory:
        run_id = await failed(factory)
        monkeypatch.setenv("FACTORY_HOME", str(factory.settings.home))
        assert factory.settings.database_url
        monkeypatch.setenv("FACTORY_DATABASE_URL", factory.settings.database_url.get_secret_value())
        monkeypatch.chdir(tmp_path)
        assert await asyncio.to_thread(call, ["project", "clean", "shop", "--json"]) == 0
        (told,) = json.loads(capsys.readouterr().out)["worktrees"]
        assert (told["run_id"], told["status"], told["removed"]) == (run_id, "failed", True)
        assert await asyncio.to_thread(call, ["project", "clean", "shop"]) == 0
        assert "nothing to remove" in capsys.readouterr().out
        assert await asyncio.to_thread(call, ["project", "clean", "nowhere"]) == 2
        assert await asyncio.to_thread(call, ["project", "clean", "shop", "--run", "run-nowhere"]) == 2
