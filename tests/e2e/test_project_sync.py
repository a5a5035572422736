"""`factory project sync`: main here follows what was merged at the remote, forward or not at all."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.test_cli_journeys import Desk, git


@pytest.fixture
def desk(factory_env: Mapping[str, str], tmp_path: Path) -> Desk:
    return Desk(factory_env, tmp_path)


@pytest.fixture
def remote(desk: Desk) -> Path:
    """A bare remote, from which the project `shop` was imported."""
    source, bare = desk.folder / "source", desk.folder / "remote.git"
    source.mkdir()
    git(source.parent, "init", "-q", "-b", "trunk", str(source))
    (source / "a.py").write_text("A = 1\n")
    git(source, "add", ".")
    git(source, "commit", "-qm", "A")
    git(source, "clone", "-q", "--bare", str(source), str(bare))
    git(source, "remote", "add", "origin", str(bare))
    desk.told("change", "shop", "Change a.py", "--repo", str(source), "--model", "offline", code=3)
    desk.told(
        *("project", "set-remote", "shop", str(bare), "--forge", "github"),
        *("--api", "http://127.0.0.1:9", "--repository", "ada/shop"),
    )
    return bare


def main_of(desk: Desk) -> Path:
    return Path(desk.told("runs")["runs"][0]["repository"])


def push(desk: Desk, path: str, text: str) -> str:
    source = desk.folder / "source"
    (source / path).write_text(text)
    git(source, "add", ".")
    git(source, "commit", "-qm", path)
    git(source, "tag", f"t-{path}")
    git(source, "push", "-q", "--tags", "origin", "trunk")
    return git(source, "rev-parse", "HEAD")


def test_main_goes_forward_to_the_remotes_branch_and_its_checkout_with_it(desk: Desk, remote: Path) -> None:
    repository = main_of(desk)
    assert desk.told("project", "sync", "shop")["after"] == git(repository, "rev-parse", "main")
    merged = push(desk, "b.py", "B = 2\n")
    told = desk.told("project", "sync", "shop")
    assert (told["branch"], told["after"], told["shown"]) == ("trunk", merged, True)
    assert git(repository, "rev-parse", "main") == merged
    assert (repository / "b.py").read_text() == "B = 2\n"
    assert not git(repository, "tag", "--list", "t-*"), "only the branch is taken"
    assert "already has all" in desk.plain("project", "sync", "shop")


def test_a_remote_that_went_another_way_is_told_and_nothing_is_touched(desk: Desk, remote: Path) -> None:
    repository = main_of(desk)
    (repository / "c.py").write_text("C = 3\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "Mine")
    mine = git(repository, "rev-parse", "main")
    assert desk.told("project", "sync", "shop")["ahead"] == 1
    push(desk, "b.py", "B = 2\n")
    error = desk.told("project", "sync", "shop", code=4)["error"]
    assert error["code"] == "remote-diverged"
    assert "1 commits are only here, 1 only there" in error["what"]
    assert git(repository, "rev-parse", "main") == mine
    assert not (repository / "b.py").exists()


def test_what_a_person_changed_in_the_checkout_is_left_alone(desk: Desk, remote: Path) -> None:
    repository = main_of(desk)
    (repository / "a.py").write_text("A = 'mine'\n")
    merged = push(desk, "b.py", "B = 2\n")
    told = desk.told("project", "sync", "shop")
    assert (told["after"], told["shown"]) == (merged, False)
    assert (repository / "a.py").read_text() == "A = 'mine'\n"


def test_a_hostile_remotes_tree_with_a_git_folder_is_refused(desk: Desk, remote: Path) -> None:
    repository = main_of(desk)
    before = git(repository, "rev-parse", "main")
    blob = git(remote, "rev-parse", "trunk:a.py")
    entry = b"100644 config\0" + bytes.fromhex(blob)
    inner = _object(remote, "tree", entry)
    outer = _object(remote, "tree", b"40000 .git\0" + bytes.fromhex(inner))
    evil = git(remote, "commit-tree", outer, "-p", "trunk", "-m", "Evil")
    git(remote, "update-ref", "refs/heads/trunk", evil)
    error = desk.told("project", "sync", "shop", code=4)["error"]
    assert error["code"] == "sync-failed"
    assert error["untouched"] == "Main is as it was"
    assert git(repository, "rev-parse", "main") == before


def _object(repository: Path, kind: str, content: bytes) -> str:

    made = subprocess.run(
        ["git", "hash-object", "-t", kind, "-w", "--literally", "--stdin"],
        cwd=repository,
        input=content,
        capture_output=True,
        check=True,
    )
    return made.stdout.decode().strip()


def test_a_project_without_a_remote_and_one_that_is_not_there_are_told_apart(desk: Desk) -> None:
    assert desk.told("project", "sync", "nowhere", code=2)["error"]["code"] == "not-found"
    assert desk.told("project", "sync", "No Name", code=2)["error"]["code"] == "project-name-invalid"
