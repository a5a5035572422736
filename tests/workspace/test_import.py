"""Repositories of other people, taken with `--repo`: whole, quickly, and with nothing of theirs executed."""

import subprocess
from pathlib import Path

import pytest

from tests.workspace.conftest import git
from workspace.errors import SourceInvalid, TreeTooBig
from workspace.inventory import Limits
from workspace.projects import Workspace
from workspace.repository import Repository

WHO = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")


def make(source: Path, branch: str = "trunk", files: int = 1) -> Path:
    source.mkdir(parents=True)
    git(source, "init", "-q", "-b", branch)
    for number in range(files):
        path = source / f"src/part{number // 100}/module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"NUMBER = {number}\n")
    git(source, "add", ".")
    git(source, *WHO, "commit", "-qm", "All of it")
    return source


async def test_more_files_than_a_stage_may_add_are_taken_and_only_the_added_ones_count(
    workspace: Workspace, tmp_path: Path
) -> None:
    source = make(tmp_path / "source", files=5_200)
    imported = await workspace.project("shop", source=source)
    assert await imported.begin_run("run-1") == git(source, "rev-parse", "HEAD")
    tree = await imported.open_stage("run-1", "docs.1")
    tree.files.write("docs/new.md", "# New\n")
    commit = await tree.snapshot("new")
    assert await tree.changed() == ["docs/new.md"]
    await tree.restore(tree.base)
    assert await tree.changed() == []
    await tree.restore(commit)
    merge = await imported.merge_stage(tree, message="Add docs", trailers={})
    assert merge.files == ["docs/new.md"]


@pytest.mark.parametrize("place", [".factory", ".factory/mail"])
@pytest.mark.parametrize("link", [True, False])
async def test_a_source_with_something_else_where_mail_goes_is_refused(
    workspace: Workspace, tmp_path: Path, place: str, link: bool
) -> None:
    source = make(tmp_path / "source")
    (source / place).parent.mkdir(exist_ok=True)
    (source / place).symlink_to("src") if link else (source / place).write_text("mine")
    git(source, "add", ".")
    git(source, *WHO, "commit", "-qm", "Mine")
    with pytest.raises(SourceInvalid, match=f"has {place}, "):
        await workspace.project("shop", source=source)
    assert not workspace.has("shop")


async def test_what_a_stage_adds_to_an_import_is_limited_as_ever(
    workspace: Workspace, tmp_path: Path
) -> None:
    source = make(tmp_path / "source", files=50)
    folder = (await workspace.project("shop", source=source)).path.parent
    small = Repository("shop", folder, Limits(files=10, bytes=1_000))
    await small.begin_run("run-1")
    tree = await small.open_stage("run-1", "docs.1")
    for number in range(10):
        tree.files.write(f"new{number}", "x")
    await tree.snapshot("ten files")
    tree.files.write("one-more", "x")
    with pytest.raises(TreeTooBig):
        await tree.snapshot("eleven files")


@pytest.mark.parametrize("branch", ["trunk", "master", "develop/next"])
async def test_the_run_begins_at_head_whatever_the_branch_is_called(
    workspace: Workspace, tmp_path: Path, branch: str
) -> None:
    source = make(tmp_path / "source", branch)
    git(source, "checkout", "-q", "--detach")
    imported = await workspace.project("shop", source=source)
    assert await imported.begin_run("run-1") == git(source, "rev-parse", branch)


async def test_a_shallow_clone_can_be_taken(workspace: Workspace, tmp_path: Path) -> None:
    source = make(tmp_path / "source")
    git(source, *WHO, "commit", "-q", "--allow-empty", "-m", "Two")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{source}", "shallow")
    imported = await workspace.project("shop", source=tmp_path / "shallow")
    assert await imported.begin_run("run-1") == git(source, "rev-parse", "HEAD")


async def test_filters_lfs_and_submodules_of_the_source_are_not_executed(
    workspace: Workspace, tmp_path: Path
) -> None:
    source = make(tmp_path / "source")
    ran = tmp_path / "ran"
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"
    (source / ".gitattributes").write_text("*.bin filter=lfs\n*.txt filter=evil\n")
    (source / "big.bin").write_text(pointer)
    (source / "note.txt").write_text("plain\n")
    (source / ".gitmodules").write_text(
        f'[submodule "evil"]\n\tpath = evil\n\turl = ext::sh -c "touch {ran}"\n\tupdate = !touch {ran}\n'
    )
    git(source, "add", ".gitattributes", "big.bin", "note.txt", ".gitmodules")
    git(source, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},evil")
    git(source, *WHO, "commit", "-qm", "Filters")
    for name in ("lfs", "evil"):
        for kind in ("smudge", "clean", "process"):
            git(source, "config", f"filter.{name}.{kind}", f"touch {ran}")
    git(source, "config", "uploadpack.packObjectsHook", f"touch {ran}")
    before = subprocess.run(["git", "ls-files", "-s"], cwd=source, capture_output=True, check=True).stdout

    imported = await workspace.project("shop", source=source)
    await imported.begin_run("run-1")
    tree = await imported.open_stage("run-1", "docs.1")
    assert tree.files.read("big.bin") == pointer
    tree.files.write("other.txt", "new\n")
    await tree.snapshot("with a submodule beside it")
    assert await tree.changed() == ["other.txt"]
    merge = await imported.merge_stage(tree, message="Add other", trailers={})
    assert merge.files == ["other.txt"]
    await imported.release("run-1", tag="v1", message="Release")

    assert not ran.exists()
    after = subprocess.run(["git", "ls-files", "-s"], cwd=source, capture_output=True, check=True).stdout
    assert after == before
