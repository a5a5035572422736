import asyncio
import subprocess
from pathlib import Path

import pytest

from core.settings import Settings
from tests.workspace.conftest import git
from workspace.errors import MainMoved, ProjectNameInvalid, SourceInvalid, TagTaken, WorkspaceError
from workspace.projects import Workspace
from workspace.repository import Repository
from workspace.stage import StageTree

TRAILERS = {"Factory-Team": "backend_engineering", "Factory-Objective": "run-1/backend_engineering/1"}


def put(tree: StageTree, **files: str) -> None:
    for name, text in files.items():
        tree.files.write(name.replace("__", "/") + ".txt", text)


async def merged(repository: Repository, stage: str, run: str = "run-1", **files: str) -> str:
    tree = await repository.open_stage(run, stage)
    put(tree, **files)
    await tree.snapshot("work")
    merge = await repository.merge_stage(tree, message=f"Add {stage}", trailers=TRAILERS)
    assert not merge.conflicts
    return merge.commit


async def test_a_new_project_is_a_normal_repository_on_main(workspace: Workspace) -> None:
    repository = await workspace.project("shop")
    assert git(repository.path, "status", "--porcelain", "--branch") == "## main"
    assert git(repository.path, "log", "--format=%s %an <%ae>") == (
        "Begin the project Factory <factory@localhost>"
    )
    again = await Workspace(Settings(home=repository.path.parents[2])).project("shop")
    assert git(again.path, "rev-list", "--count", "main") == "1"


async def test_a_later_project_is_such_as_git_made_the_first(workspace: Workspace) -> None:
    first, later = [await workspace.project(name) for name in ("shop", "library")]
    told = [
        sorted(
            (str(path.relative_to(made.path)), path.stat().st_mode, path.read_bytes())
            for path in made.path.rglob("*")
            if path.is_file() and "objects" not in path.parts
        )
        for made in (first, later)
    ]
    begun = [git(made.path, "rev-parse", "main") + "\n" for made in (first, later)]
    assert [[name for name, _, _ in files] for files in told] == [[name for name, _, _ in told[0]]] * 2
    for one, other in zip(*told, strict=True):
        assert one == other or [one[2].decode(), other[2].decode()] == begun, one[0]
    assert git(later.path, "fsck", "--strict") == ""
    assert git(later.path, "status", "--porcelain", "--branch") == "## main"
    assert git(later.path, "rev-list", "--count", "main") == "1"


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "x-", "Shop", "a" * 64, "a b", "é", "a\n"])
async def test_a_project_name_that_is_no_slug_is_refused(workspace: Workspace, name: str) -> None:
    with pytest.raises(ProjectNameInvalid):
        await workspace.project(name)


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "x.lock", "a..b", "a b", ".x", "x."])
async def test_a_stage_name_that_git_or_a_path_would_misread_is_refused(
    repository: Repository, name: str
) -> None:
    with pytest.raises(WorkspaceError):
        await repository.open_stage("run-1", name)


async def test_a_project_from_a_source_has_its_history_and_leaves_it_alone(
    workspace: Workspace, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    ran = tmp_path / "ran"
    git(source, "init", "-q", "-b", "trunk")
    git(source, "config", "user.email", "a@b")
    git(source, "config", "user.name", "A")
    (source / "a.txt").write_text("one\r\n")
    (source / ".gitattributes").write_text("*.txt filter=evil text eol=lf\n")
    git(source, "add", ".")
    git(source, "commit", "-q", "-m", "first")
    git(source, "config", "filter.evil.smudge", f"touch {ran}; cat")
    git(source, "config", "uploadpack.packObjectsHook", f'touch {ran}; exec "$@"')
    (source / ".git" / "hooks" / "post-checkout").write_text(f"#!/bin/sh\ntouch {ran}\n")
    (source / ".git" / "hooks" / "post-checkout").chmod(0o755)
    (source / "unsaved.txt").write_text("not committed")
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}

    repository = await workspace.project("shop", source=source)

    assert git(repository.path, "log", "--format=%s", "main") == "first"
    assert git(repository.path, "status", "--porcelain") == ""
    assert sorted(await repository.files("main")) == [".gitattributes", "a.txt"]
    assert (repository.path / "a.txt").read_text() == git(source, "show", "HEAD:a.txt") + "\n"
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == before
    assert not ran.exists()
    assert not any((repository.path / ".git" / "hooks").glob("*"))


async def test_a_source_without_a_commit_leaves_no_project(workspace: Workspace, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for source in (empty, tmp_path / "missing"):
        with pytest.raises(SourceInvalid):
            await workspace.project("shop", source=source)
    git(empty, "init", "-q")
    with pytest.raises(SourceInvalid):
        await workspace.project("shop", source=empty)
    assert not workspace.has("shop")
    assert [*tmp_path.rglob("shop")] == []
    assert await (await workspace.project("shop")).files("main") == []


async def test_a_run_begins_once(repository: Repository) -> None:
    base = await repository.begin_run("run-1")
    head = await merged(repository, "a.1", a="1")
    await repository.release("run-1", tag="v1", message="Release")
    assert await repository.begin_run("run-1") == base
    assert await repository.run_head("run-1") == head
    assert await repository.begin_run("run-2") != base


async def test_a_stage_is_merged_as_one_commit_with_its_trailers(repository: Repository) -> None:
    base = await repository.run_head("run-1")
    tree = await repository.open_stage("run-1", "backend_engineering.1")
    for number in range(3):
        put(tree, a=str(number), src__b="b")
        await tree.snapshot(f"step {number}")
    merge = await repository.merge_stage(tree, message="Add it\n\nFactory-Stage: other.1", trailers=TRAILERS)
    assert merge.files == ["a.txt", "src/b.txt"]
    assert git(repository.path, "rev-list", f"{base}..factory/run-1").split() == [merge.commit]
    assert git(repository.path, "log", "-1", "--format=%(trailers)", merge.commit) == (
        "Factory-Run: run-1\nFactory-Stage: backend_engineering.1\n"
        "Factory-Team: backend_engineering\nFactory-Objective: run-1/backend_engineering/1"
    )
    assert await repository.read(merge.commit, "a.txt") == "2"
    assert await repository.read(merge.commit, "src") is None
    assert await repository.read(merge.commit, "none.txt") is None
    assert "+2" in await repository.diff(base, merge.commit)
    assert "a.txt" in await repository.diff(base, merge.commit, stat=True)


async def test_a_stage_is_merged_once(repository: Repository) -> None:
    first = await merged(repository, "a.1", a="1")
    await merged(repository, "b.1", b="1")
    assert await merged(repository, "a.1", a="changed later") == first
    assert git(repository.path, "rev-list", "--count", "main..factory/run-1") == "2"


async def test_a_stage_that_changed_nothing_is_still_recorded(repository: Repository) -> None:
    tree = await repository.open_stage("run-1", "a.1")
    merge = await repository.merge_stage(tree, message="Nothing to do", trailers={})
    assert merge.files == []
    assert await repository.run_head("run-1") == merge.commit


async def test_stages_side_by_side_give_the_same_tree_in_any_order(workspace: Workspace) -> None:
    trees: set[str] = set()
    work = {"a.1": {"a": "1"}, "b.1": {"b": "1", "deep__er": "2"}, "c.1": {"c": "3"}}
    for name, order in (("one", ("a.1", "b.1", "c.1")), ("two", ("c.1", "a.1", "b.1"))):
        repository = await workspace.project(name)
        await repository.begin_run("run-1")
        open_trees = {stage: await repository.open_stage("run-1", stage) for stage in order}
        for stage, tree in open_trees.items():
            put(tree, **work[stage])
        await asyncio.gather(*(tree.snapshot("work") for tree in open_trees.values()))
        for stage in order:
            await repository.merge_stage(open_trees[stage], message=stage, trailers={})
        trees.add(git(repository.path, "rev-parse", "factory/run-1^{tree}"))
    assert len(trees) == 1


async def test_merges_at_the_same_time_all_arrive(repository: Repository) -> None:
    commits = await asyncio.gather(*(merged(repository, f"s{n}.1", **{f"f{n}": "x"}) for n in range(8)))
    assert len(set(commits)) == 8
    assert len(await repository.files("factory/run-1")) == 8


async def test_a_conflict_changes_nothing_and_names_the_paths(repository: Repository) -> None:
    one = await repository.open_stage("run-1", "a.1")
    two = await repository.open_stage("run-1", "b.1")
    for tree, text in ((one, "1"), (two, "2")):
        put(tree, same=text, **{f"own{text}": "x"})
        await tree.snapshot("work")
    head = (await repository.merge_stage(one, message="one", trailers={})).commit
    merge = await repository.merge_stage(two, message="two", trailers={})
    assert (merge.commit, merge.files, merge.conflicts) == (head, [], ["same.txt"])
    assert await repository.run_head("run-1") == head


async def test_restore_gives_exactly_that_commit(tree: StageTree) -> None:
    put(tree, a="1", keep__b="2")
    commit = await tree.snapshot("one")
    put(tree, a="changed", new="x", keep__more="y")
    (tree.path / "__pycache__").mkdir()
    (tree.path / "__pycache__" / "x.pyc").write_text("ignored")
    (tree.path / "keep" / "b.txt").unlink()
    await tree.restore(commit)
    assert tree.files.list() == ["a.txt", "keep/b.txt"]
    assert not (tree.path / "__pycache__").exists()
    assert tree.files.read("a.txt") == "1"
    assert await tree.snapshot("again") == commit
    await tree.restore(tree.base)
    assert tree.files.list() == []
    assert await tree.changed() == []


async def test_restore_drops_later_snapshots_from_the_merge(repository: Repository, tree: StageTree) -> None:
    put(tree, a="1")
    first = await tree.snapshot("one")
    put(tree, b="2")
    await tree.snapshot("two")
    await tree.restore(first)
    merge = await repository.merge_stage(tree, message="m", trailers={})
    assert merge.files == ["a.txt"]


async def test_changed_sees_what_is_there_now(tree: StageTree) -> None:
    put(tree, a="1")
    assert await tree.changed() == ["a.txt"]
    await tree.snapshot("one")
    assert await tree.changed() == ["a.txt"]
    (tree.path / "a.txt").unlink()
    assert await tree.changed() == []


async def test_a_stage_is_taken_up_where_another_process_left_it(
    repository: Repository, tree: StageTree
) -> None:
    put(tree, a="1")
    commit = await tree.snapshot("one")
    put(tree, b="not recorded")
    other = Repository("shop", repository.path.parent)
    again = await other.open_stage("run-1", tree.stage, base="main")
    assert (again.base, again.path) == (tree.base, tree.path)
    assert again.files.list() == ["a.txt", "b.txt"]
    await again.restore(commit)
    assert again.files.list() == ["a.txt"]


async def test_a_stage_begins_from_the_newest_of_the_commits_it_builds_on(repository: Repository) -> None:
    begun = await repository.newest("run-1", [])
    first = await merged(repository, "a.1", a="1")
    second = await merged(repository, "b.1", b="1")
    await merged(repository, "side-by-side.1", c="1")
    assert await repository.newest("run-1", [second, first]) == second
    assert await repository.newest("run-1", ["0" * 40]) == begun
    tree = await repository.open_stage("run-1", "c.1", base=second)
    assert tree.files.list() == ["a.txt", "b.txt"]


async def test_a_closed_stage_is_gone_and_can_be_opened_anew(repository: Repository) -> None:
    head = await merged(repository, "a.1", a="1")
    tree = await repository.open_stage("run-1", "a.1")
    await repository.close_stage(tree)
    await repository.close_stage(tree)
    assert not tree.path.exists()
    assert "stages" not in git(repository.path, "for-each-ref", "--format=%(refname)")
    assert (await repository.open_stage("run-1", "a.1")).base == head
    assert (await repository.checkout("run-1", "validate.1")).files.list() == ["a.txt"]


async def test_a_release_merges_tags_and_shows_main(repository: Repository) -> None:
    await merged(repository, "a.1", a="1")
    commit = await repository.release("run-1", tag="v1", message="Release it")
    for _ in range(2):
        assert await repository.release("run-1", tag="v1", message="Release it") == commit
    assert git(repository.path, "rev-parse", "main", "v1^{commit}").split() == [commit, commit]
    assert git(repository.path, "cat-file", "-t", "v1") == "tag"
    assert len(git(repository.path, "rev-list", "--parents", "-1", "main").split()) == 3
    assert git(repository.path, "status", "--porcelain") == ""
    assert (repository.path / "a.txt").read_text() == "1"


async def test_two_runs_are_released_after_each_other(repository: Repository) -> None:
    await repository.begin_run("run-2")
    await merged(repository, "a.1", a="1")
    await repository.release("run-1", tag="v1", message="one")
    tree = await repository.open_stage("run-2", "a.1")
    put(tree, b="2")
    await tree.snapshot("x")
    await repository.merge_stage(tree, message="two", trailers={})
    with pytest.raises(TagTaken):
        await repository.release("run-2", tag="v1", message="two")
    meeting = await repository.meet("main", "factory/run-2")
    assert (meeting.contained, meeting.conflicts) == (False, ())
    commit = await repository.take_in("run-2", meeting, name="merge.1", message="Take main in")
    assert await repository.take_in("run-2", meeting, name="merge.1", message="Take main in") == commit
    await repository.release("run-2", tag="v2", message="two")
    assert await repository.files("main") == ["a.txt", "b.txt"]
    assert git(repository.path, "status", "--porcelain") == ""


async def test_a_release_that_main_has_overtaken_changes_nothing(repository: Repository) -> None:
    await repository.begin_run("run-2")
    await merged(repository, "a.1", a="1")
    await repository.release("run-1", tag="v1", message="one")
    main = git(repository.path, "rev-parse", "main")
    tree = await repository.open_stage("run-2", "a.1")
    put(tree, a="2")
    await tree.snapshot("x")
    await repository.merge_stage(tree, message="two", trailers={})
    with pytest.raises(MainMoved):
        await repository.release("run-2", tag="v2", message="two")
    assert git(repository.path, "rev-parse", "main") == main
    assert git(repository.path, "tag") == "v1"


@pytest.mark.parametrize("place", ["a.txt", "mine.txt"])
async def test_a_release_leaves_a_persons_work_in_the_checkout_alone(
    repository: Repository, place: str
) -> None:
    await merged(repository, "a.1", a="1")
    (repository.path / place).write_text("mine")
    await repository.release("run-1", tag="v1", message="Release")
    assert (repository.path / place).read_text() == "mine"
    assert git(repository.path, "log", "-1", "--format=%s", "main") == "Release"


async def test_a_release_leaves_a_persons_ignored_files_in_the_checkout_alone(repository: Repository) -> None:
    tree = await repository.open_stage("run-1", "a.1")
    tree.files.write(".gitignore", "*.local.txt\nbuild.txt\n")
    await merged(repository, "a.1")
    await repository.release("run-1", tag="v1", message="Release")
    for name in ("config.local.txt", "other.local.txt", "build.txt"):
        (repository.path / name).write_text("mine, and nowhere else")
    await repository.begin_run("run-2")
    tree = await repository.open_stage("run-2", "b.1")
    tree.files.write(".gitignore", "*.log\n")
    tree.files.write("build.txt/made", "theirs")
    await merged(repository, "b.1", run="run-2", **{"config.local": "theirs"})
    for mine in ("config.local.txt", "build.txt"):
        await repository.release("run-2", tag="v2", message="Release")
        assert (repository.path / mine).read_text() == "mine, and nowhere else"
        (repository.path / mine).unlink()
    await repository.release("run-2", tag="v2", message="Release")
    assert (repository.path / "config.local.txt").read_text() == "theirs"
    assert (repository.path / "build.txt/made").read_text() == "theirs"
    assert (repository.path / "other.local.txt").read_text() == "mine, and nowhere else"


async def test_nothing_of_the_users_git_configuration_is_used(
    repository: Repository, tree: StageTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n\thooksPath = {hooks}\n\tautocrlf = true\n[user]\n\tname = Someone\n")
    for hook in ("reference-transaction", "post-checkout", "post-index-change"):
        (hooks / hook).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (hooks / hook).chmod(0o755)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    put(tree, a="1\r\n")
    commit = await tree.snapshot("one")
    monkeypatch.undo()
    assert not (tmp_path / "ran").exists()
    assert git(repository.path, "show", "-s", "--format=%an", commit) == "Factory"
    shown = subprocess.run(["git", "show", f"{commit}:a.txt"], cwd=repository.path, capture_output=True)
    assert shown.stdout == b"1\r\n"
