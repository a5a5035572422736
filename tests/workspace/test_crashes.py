"""The process is killed at every place where it could be; done again, everything ends as if it never was."""

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from core import faults
from core.settings import Settings
from tests.workspace.conftest import git
from workspace.projects import Workspace


async def whole_run(home: Path) -> str:
    """Two stages, merged and released: what a run does, and what a resumed run does again."""
    repository = await Workspace(Settings(home=home)).project("shop")
    base = await repository.begin_run("run-1")
    for stage in ("a.1", "b.1"):
        tree = await repository.open_stage("run-1", stage, base=base)
        await tree.restore(base)
        tree.files.write(f"{stage}/one.txt", stage)
        await tree.snapshot("one")
        tree.files.write(f"{stage}/two.txt", stage)
        await tree.snapshot("two")
        merge = await repository.merge_stage(tree, message=f"Add {stage}", trailers={})
        assert not merge.conflicts
        await repository.close_stage(tree)
    await repository.release("run-1", tag="v1", message="Release")
    return git(repository.path, "rev-parse", "main^{tree}")


def check(home: Path, tree: str) -> None:
    shop = home / "projects" / "shop" / "repository"
    assert git(shop, "rev-parse", "main^{tree}", "v1^{tree}").split() == [tree, tree]
    assert git(shop, "status", "--porcelain") == ""
    assert git(shop, "log", "--topo-order", "--format=%s", "main").split("\n") == [
        "Release",
        "Add b.1",
        "Add a.1",
        "Begin the project",
    ]
    assert git(shop, "fsck", "--strict", "--no-dangling") == ""
    assert not list(shop.rglob("*.lock"))


def in_a_child(home: Path, *, die_at: int = 0, kill_after: float = 0.0) -> int:
    """Run in a forked child that dies before its `die_at`th git command, or is killed after some seconds."""
    child = os.fork()
    if child == 0:
        try:
            if die_at:
                faults._armed, faults._at, faults._wanted = True, "git", die_at  # type: ignore[attr-defined]
            elif kill_after:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_REAL, kill_after)
            asyncio.run(whole_run(home))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("step", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_killed_between_two_git_commands_ends_the_same(tmp_path: Path, step: int) -> None:
    tree = asyncio.run(whole_run(tmp_path / "undisturbed"))
    check(tmp_path / "undisturbed", tree)
    at = 1
    while in_a_child(home := tmp_path / f"killed-{at}", die_at=at) == -signal.SIGKILL:
        assert asyncio.run(whole_run(home)) == tree
        check(home, tree)
        at += step
    assert at > 30


@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_at_any_moment_ends_the_same(tmp_path: Path, seed: int) -> None:
    tree = asyncio.run(whole_run(tmp_path / "undisturbed"))
    home = tmp_path / "home"
    chance = random.Random(seed)
    for _ in range(4):
        in_a_child(home, kill_after=chance.uniform(0.005, 0.25))
    assert asyncio.run(whole_run(home)) == tree
    check(home, tree)
