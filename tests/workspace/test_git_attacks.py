"""What git can be told to run: by a worktree, by an imported repository's own settings, by a person's.

Each begins with git as a person starts it, to see that the trap works where nothing stops it.
"""

import subprocess
from pathlib import Path

import pytest

from tests.workspace.conftest import git
from workspace.projects import Workspace
from workspace.repository import Repository
from workspace.stage import StageTree


class Trap:
    """A program that leaves a mark when it is run."""

    def __init__(self, folder: Path) -> None:
        self.mark, self.program = folder / "mark", folder / "trap.sh"
        self.program.write_text(f"#!/bin/sh\ntouch {self.mark}\ncat\n")
        self.program.chmod(0o755)

    def snapped(self) -> bool:
        """Whether it ran since it was last looked at."""
        there = self.mark.exists()
        self.mark.unlink(missing_ok=True)
        return there


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository that somebody gives to `--repo`."""
    made = tmp_path / "source"
    made.mkdir()
    git(made, "init", "-q", "-b", "main")
    (made / "text.txt").write_text("text\n")
    _commit(made)
    return made


def _commit(folder: Path) -> None:
    git(folder, "add", ".")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "work")


async def _whole_way(tree: StageTree, repository: Repository) -> None:
    """All that the factory's git does with a worktree, from a change to the release."""
    (tree.path / "more.txt").write_text("more\n")
    commit = await tree.snapshot("hostile")
    await tree.restore(tree.base)
    await tree.restore(commit)
    await tree.changed()
    await repository.merge_stage(tree, message="m", trailers={})
    await repository.release("run-1", tag="v1", message="m")


async def _imported(workspace: Workspace, source: Path) -> None:
    repository = await workspace.project("imported", source=source)
    await repository.begin_run("run-1")
    await _whole_way(await repository.open_stage("run-1", "a.1"), repository)


async def test_hooks_of_an_imported_repository_never_run(
    workspace: Workspace, source: Path, trap: Trap
) -> None:
    hooks = source / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "pre-commit", "post-index-change", "post-merge"):
        (hooks / name).symlink_to(trap.program)
    git(source, "config", "core.hooksPath", str(hooks))
    git(source, "config", "uploadpack.packObjectsHook", str(trap.program))
    subprocess.run(["git", "checkout", "-q", "main"], cwd=source, check=True, stdin=subprocess.DEVNULL)
    assert trap.snapped()
    await _imported(workspace, source)
    assert not trap.snapped()


async def test_filters_of_an_imported_repository_never_run(
    workspace: Workspace, source: Path, trap: Trap
) -> None:
    for key in ("filter.evil.clean", "filter.evil.smudge", "diff.evil.textconv", "merge.evil.driver"):
        git(source, "config", key, str(trap.program))
    (source / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    _commit(source)
    assert trap.snapped()
    await _imported(workspace, source)
    assert not trap.snapped()


async def test_an_fsmonitor_of_an_imported_repository_never_runs(
    workspace: Workspace, source: Path, trap: Trap
) -> None:
    git(source, "config", "core.fsmonitor", str(trap.program))
    subprocess.run(["git", "status"], cwd=source, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    assert trap.snapped()
    await _imported(workspace, source)
    assert not trap.snapped()


async def test_attributes_in_the_worktree_change_no_byte(repository: Repository, tree: StageTree) -> None:
    (tree.path / ".gitattributes").write_text("* text eol=crlf working-tree-encoding=UTF-16 ident\n")
    (tree.path / "text.txt").write_bytes(b"$Id$\r\n\xff\n")
    await _whole_way(tree, repository)
    assert (repository.path / "text.txt").read_bytes() == b"$Id$\r\n\xff\n"


async def test_a_persons_own_git_settings_are_not_used(
    repository: Repository, tree: StageTree, trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "gitconfig"
    own.write_text(
        f'[core]\n\tfsmonitor = {trap.program}\n[filter "evil"]\n\tclean = {trap.program}\n'
        f"\tsmudge = {trap.program}\n[diff]\n\texternal = {trap.program}\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(own))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(trap.program))
    (tree.path / ".gitattributes").write_text("* filter=evil\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    git(elsewhere, "init", "-q")
    subprocess.run(
        ["git", "status"], cwd=elsewhere, check=True, capture_output=True, stdin=subprocess.DEVNULL
    )
    assert trap.snapped()
    await _whole_way(tree, repository)
    assert not trap.snapped()
