"""Only what was checked and reviewed is released: what comes to the branch after that is looked at first."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from graph.runner import Factory
from tests.graph.conftest import OpenSmall
from tests.graph.test_reconcile import LOG, appending, approve, at_review, commit, git


async def commit_to_branch(factory: Factory, run: str, folder: Path, path: str, text: str) -> str:
    """What a person commits to the run's branch, from a clone of their own."""
    checkout = (await factory.services.repository(run)).path
    branch = f"factory/{run}"
    commands = (
        ["git", "clone", "-q", "--branch", branch, str(checkout), str(folder)],
        ["git", "-C", str(folder), "push", "-q", "origin", f"HEAD:{branch}"],
    )
    subprocess.run(commands[0], check=True)
    commit(folder, path, text)
    subprocess.run(commands[1], check=True)
    return await git(factory, run, "rev-parse", branch)


async def test_a_commit_after_the_review_is_checked_and_reviewed_before_it_is_released(
    open_small: OpenSmall, tmp_path: Path
) -> None:
    async with open_small({"scout/work": appending}) as factory:
        (one,), (review,) = await at_review(factory, "Add one")
        main = await git(factory, one, "rev-parse", "main")
        head = await commit_to_branch(factory, one, tmp_path / "mine", "docs/late.md", "# Late\n")
        (again,) = (await approve(factory, one, review)).waiting
        assert (again.kind, again.id != review.id) == ("review", True)
        repository = await factory.services.repository(one)
        assert await repository.same_product(str(again.detail["commit"]), head), "and mail that came since"
        assert "docs/late.md" in str(again.detail["diff"])
        assert await git(factory, one, "rev-parse", "main") == main, "nothing was released"
        (unseen,) = await factory.events.read(one, kinds=["release.unseen"])
        assert unseen.payload == {"checked": review.detail["commit"], "head": again.detail["commit"]}
        checks = await factory.events.read(one, kinds=["check.ran"], after=unseen.seq)
        assert checks, "validated again"
        assert (await approve(factory, one, again)).status == "completed"
        assert "docs/late.md" in await git(factory, one, "ls-tree", "-r", "--name-only", "main")


async def test_a_commit_that_slips_in_while_main_moves_is_reviewed_too(
    open_small: OpenSmall, tmp_path: Path
) -> None:
    async with open_small({"scout/work": appending}) as factory:
        (one,), (review,) = await at_review(factory, "Add one")
        commit((await factory.services.repository(one)).path, "docs/other.md", "# Other\n")
        await commit_to_branch(factory, one, tmp_path / "mine", "docs/late.md", "# Late\n")
        (again,) = (await approve(factory, one, review)).waiting
        assert again.kind == "review"
        assert "docs/late.md" in str(again.detail["diff"])
        outcome = await approve(factory, one, again)
        assert outcome.status == "completed"
        listed = (await git(factory, one, "ls-tree", "-r", "--name-only", "main")).split()
        files = [path for path in listed if not path.startswith(".factory/")]
        assert files == ["docs/late.md", "docs/other.md", LOG]


@pytest.mark.parametrize("times", [2])
async def test_however_often_the_branch_moves_each_time_is_asked_for(
    times: int, open_small: OpenSmall, tmp_path: Path
) -> None:
    async with open_small({"scout/work": appending}) as factory:
        (one,), (review,) = await at_review(factory, "Add one")
        asked = [review.id]
        for number in range(times):
            await commit_to_branch(factory, one, tmp_path / f"mine{number}", f"docs/{number}.md", "# Late\n")
            (review,) = (await approve(factory, one, review)).waiting
            asked.append(review.id)
        assert len(set(asked)) == times + 1
        assert (await approve(factory, one, review)).status == "completed"
