"""A worktree that a stage left is the next one's: fast, and never with anything of the first one in it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from core import faults
from core.settings import Settings
from tests.workspace.conftest import git
from workspace.projects import Workspace
from workspace.repository import Repository
from workspace.spares import MOST
from workspace.stage import StageTree


async def merged(repository: Repository, stage: str) -> StageTree:
    tree = await repository.open_stage("run-1", stage)
    tree.files.write("src/app.py", "answer = 42\n")
    tree.files.write("README.md", "# Shop\n")
    await tree.snapshot("work")
    await repository.merge_stage(tree, message="work", trailers={})
    return tree


def seen(tree: StageTree) -> dict[str, tuple[str, int, int]]:
    """Every file with its content, the rights of its owner and how many names it has."""
    files = [path for path in tree.path.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(tree.path)): (
            path.read_text(),
            path.stat().st_mode & 0o700,
            path.stat().st_nlink,
        )
        for path in files
    }


CLEAN = {"src/app.py": ("answer = 42\n", 0o600, 1), "README.md": ("# Shop\n", 0o600, 1)}


def change_and_hide_it(root: Path) -> None:
    file = root / "src/app.py"
    before = file.stat()
    file.write_text("answer = 43\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def link_two_files(root: Path) -> None:
    (root / "copy").hardlink_to(root / "README.md")
    (root / "copy").rename(root / "src/app.py")


def nest_a_repository(root: Path) -> None:
    (root / ".git/hooks").mkdir(parents=True)
    (root / ".git/config").write_text("[core]\n\tfsmonitor = touch fooled\n")


def leave_ignored_files(root: Path) -> None:
    (root / "__pycache__").mkdir()
    (root / "__pycache__/app.pyc").write_bytes(b"old")
    (root / ".gitignore").write_text("*\n")
    (root / "src/hidden.py").write_text("answer = 44\n")


def close_folders_and_files(root: Path) -> None:
    (root / "README.md").chmod(0o400)
    (root / "src").chmod(0o500)


def put_pipes(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "README.md").unlink()
    os.mkfifo(root / "README.md")


def put_links(root: Path) -> None:
    (root / "src/app.py").unlink()
    (root / "src/app.py").symlink_to("/etc/passwd")
    (root / "out").symlink_to("/")


@pytest.mark.parametrize(
    "leave",
    [
        change_and_hide_it,
        link_two_files,
        nest_a_repository,
        leave_ignored_files,
        close_folders_and_files,
        put_pipes,
        put_links,
    ],
)
async def test_nothing_that_a_stage_leaves_behind_reaches_the_next(
    leave: Callable[[Path], None], repository: Repository
) -> None:
    tree = await merged(repository, "a.1")
    leave(tree.path)
    await repository.close_stage(tree)
    following = await repository.open_stage("run-1", "b.1")
    assert seen(following) == CLEAN
    assert {path.name for path in following.path.iterdir()} == {"src", "README.md"}
    assert await following.changed() == []
    assert not list(Path(repository.path).rglob("fooled"))


@pytest.mark.parametrize("leave", [link_two_files, close_folders_and_files, put_pipes, put_links])
async def test_a_stage_that_begins_again_finds_nothing_of_that_either(
    leave: Callable[[Path], None], repository: Repository
) -> None:
    tree = await merged(repository, "a.1")
    head = await tree.snapshot("work")
    leave(tree.path)
    await tree.restore(head)
    assert seen(tree) == CLEAN
    assert {path.name for path in tree.path.iterdir()} == {"src", "README.md"}


async def test_the_folder_is_used_again(repository: Repository) -> None:
    tree = await merged(repository, "a.1")
    number = tree.path.stat().st_ino
    await repository.close_stage(tree)
    following = await repository.open_stage("run-1", "b.1")
    assert following.path.stat().st_ino == number
    assert seen(following) == CLEAN


async def test_no_more_are_kept_than_are_used(repository: Repository) -> None:
    trees = [await repository.open_stage("run-1", f"a{number}.1") for number in range(MOST + 2)]
    for tree in trees:
        await repository.close_stage(tree)
    assert len(list((repository.path.parent / "spares").iterdir())) == MOST
    assert not any(tree.path.exists() for tree in trees)


@pytest.mark.parametrize("place", ["spare.kept", "spare.given"])
def test_half_a_spare_that_a_killed_process_left_is_removed(place: str, tmp_path: Path) -> None:
    async def two_stages() -> str:
        repository = await Workspace(Settings(home=tmp_path)).project("shop")
        await repository.begin_run("run-1")
        for stage in ("a.1", "b.1"):
            await repository.close_stage(await merged(repository, stage))
        return git(repository.path, "rev-parse", "factory/run-1^{tree}")

    child = os.fork()
    if child == 0:
        try:
            faults._armed, faults._at, faults._wanted = True, place, 1  # type: ignore[attr-defined]
            asyncio.run(two_stages())
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert asyncio.run(two_stages())
    spares = list((tmp_path / "projects/shop/spares").iterdir())
    assert all((spare / "tree").is_dir() and (spare / "index").is_file() for spare in spares)
