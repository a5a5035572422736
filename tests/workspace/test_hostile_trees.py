"""What a stage leaves in its worktree against the git that records it."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.workspace.conftest import git
from workspace.errors import PathRefused, TreeTooBig
from workspace.inventory import Limits
from workspace.repository import Repository
from workspace.stage import StageTree, stays_inside


async def refused(repository: Repository, tree: StageTree, path: str) -> None:
    head = await repository.run_head("run-1")
    with pytest.raises(PathRefused, match=path):
        await tree.snapshot("hostile")
    await tree.restore(tree.base)
    assert list(tree.path.iterdir()) == []
    (tree.path / "fine.txt").write_text("x")
    await tree.snapshot("fine")
    assert await repository.run_head("run-1") == head


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "..", "sub/../../x", ".git/hooks", "a/../b"])
async def test_a_symlink_that_could_lead_out_is_not_recorded(
    repository: Repository, tree: StageTree, target: str
) -> None:
    (tree.path / "link").symlink_to(target)
    await refused(repository, tree, "link")


async def test_a_symlink_that_stays_inside_is_recorded(repository: Repository, tree: StageTree) -> None:
    (tree.path / "docs").mkdir()
    (tree.path / "README.md").write_text("hello")
    (tree.path / "docs" / "README.md").symlink_to("../README.md")
    commit = await tree.snapshot("link")
    assert git(repository.path, "ls-tree", commit, "docs/README.md").startswith("120000")


def test_which_symlinks_stay_inside() -> None:
    inside = {("a", "b"), ("d/a", "../b"), ("d/e/a", "../../b/c"), ("a", "./b//c"), ("a", "...")}
    outside = {("a", "../b"), ("d/a", "../../b"), ("a", "/b"), ("a", "b/.."), ("d/a", ".."), ("a", ".git/x")}
    assert all(stays_inside(path, target) for path, target in inside)
    assert not any(stays_inside(path, target) for path, target in outside - {("d/a", "..")})


@pytest.mark.parametrize("path", [".git", "sub/.git", "sub/.Git"])
async def test_a_repository_in_the_worktree_is_not_recorded(
    repository: Repository, tree: StageTree, path: str
) -> None:
    folder = (tree.path / path).parent
    folder.mkdir(exist_ok=True)
    subprocess.run(["git", "init", "-q", folder], check=True)
    if not (tree.path / path).exists():
        (folder / ".git").rename(tree.path / path)
    await refused(repository, tree, path)


async def test_a_git_file_that_points_elsewhere_is_not_followed(
    repository: Repository, tree: StageTree, tmp_path: Path
) -> None:
    (tree.path / ".git").write_text(f"gitdir: {tmp_path}\n")
    await refused(repository, tree, r"\.git")


async def test_hooks_filters_and_monitors_in_the_worktree_never_run(
    repository: Repository, tree: StageTree, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    evil = tree.path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    evil.chmod(0o755)
    (tree.path / ".gitattributes").write_text(
        "* filter=evil diff=evil merge=evil text eol=crlf working-tree-encoding=UTF-16 ident\n"
    )
    config = f'[filter "evil"]\n\tclean = {evil}\n[core]\n\tfsmonitor = {evil}\n\thooksPath = .\n'
    (tree.path / ".gitconfig").write_text(config)
    (tree.path / "config").write_text(config)
    for name in ("HEAD", "pre-commit", "post-index-change", "reference-transaction"):
        (tree.path / name).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (tree.path / name).chmod(0o755)
    for name in ("objects", "refs", "hooks"):
        (tree.path / name).mkdir()
    (tree.path / "text.txt").write_bytes(b"$Id$\r\n\xff")
    commit = await tree.snapshot("hostile")
    await tree.restore(tree.base)
    await tree.restore(commit)
    await repository.merge_stage(tree, message="m", trailers={})
    await repository.release("run-1", tag="v1", message="m")
    assert not ran.exists()
    assert (repository.path / "text.txt").read_bytes() == b"$Id$\r\n\xff"


@pytest.mark.parametrize("name", [b"a\nb", b"a\x1b[31m", b"\xff", "a\u202eb".encode()])
async def test_a_name_that_cannot_be_shown_is_not_recorded(
    repository: Repository, tree: StageTree, name: bytes
) -> None:
    (tree.path / os.fsdecode(name)).write_text("x")
    await refused(repository, tree, "name")


async def test_thousands_of_files_are_too_many(repository: Repository, tree: StageTree) -> None:
    for number in range(5_001):
        (tree.path / str(number)).touch()
    with pytest.raises(TreeTooBig):
        await tree.snapshot("many")
    await tree.restore(tree.base)
    assert list(tree.path.iterdir()) == []


async def test_too_many_bytes_are_refused_before_git_reads_them(tree: StageTree) -> None:
    with open(tree.path / "big", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TreeTooBig):
        await tree.snapshot("big")
    await tree.restore(tree.base)
    assert tree.files.list() == []


async def test_limits_can_be_set_for_a_project(repository: Repository) -> None:
    small = Repository("shop", repository.path.parent, Limits(files=2, bytes=100))
    tree = await small.open_stage("run-1", "a.1")
    tree.files.write("a.txt", "x" * 101)
    with pytest.raises(TreeTooBig):
        await tree.snapshot("big")


async def test_folders_nested_without_end_can_be_refused_and_removed(
    repository: Repository, tree: StageTree
) -> None:
    folder = os.open(tree.path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("deep", dir_fd=folder)
        inner = os.open("deep", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    with pytest.raises(TreeTooBig):
        await tree.snapshot("deep")
    await tree.restore(tree.base)
    assert list(tree.path.iterdir()) == []


async def test_files_and_folders_that_were_closed_are_recorded_and_removed(
    repository: Repository, tree: StageTree
) -> None:
    tree.files.write("closed/a.txt", "a")
    tree.files.write("b.txt", "b")
    (tree.path / "b.txt").chmod(0)
    (tree.path / "closed").chmod(0)
    tree.path.chmod(0)
    commit = await tree.snapshot("closed")
    assert await repository.files(commit) == ["b.txt", "closed/a.txt"]
    (tree.path / "closed").chmod(0)
    await tree.restore(tree.base)
    assert list(tree.path.iterdir()) == []


async def test_fifos_and_sockets_are_not_recorded(repository: Repository, tree: StageTree) -> None:
    os.mkfifo(tree.path / "fifo")
    (tree.path / "a.txt").write_text("x")
    assert await repository.files(await tree.snapshot("fifo")) == ["a.txt"]


async def test_a_folder_turned_into_a_symlink_does_not_lead_git_out(
    repository: Repository, tree: StageTree, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("theirs")
    tree.files.write("folder/a.txt", "ours")
    commit = await tree.snapshot("one")
    (tree.path / "folder" / "a.txt").unlink()
    (tree.path / "folder").rmdir()
    (tree.path / "folder").symlink_to(outside)
    with pytest.raises(PathRefused):
        await tree.snapshot("two")
    await tree.restore(commit)
    assert (outside / "a.txt").read_text() == "theirs"
    assert tree.files.read("folder/a.txt") == "ours"
    assert not (tree.path / "folder").is_symlink()
