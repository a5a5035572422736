"""Two lines of work meet: cleanly, or with every conflict laid out so that neither side is lost unseen."""

from pathlib import Path

import pytest

from tests.workspace.conftest import git
from workspace.errors import BranchMoved
from workspace.reconciling import LaidOut
from workspace.repository import Repository

HEAD, YOURS = "refs/heads/main", "factory/run-1"


async def write(repository: Repository, stage: str, files: dict[str, bytes | None]) -> None:
    """Let a stage of the run make these files what they are to be; None deletes one."""
    tree = await repository.open_stage("run-1", stage)
    for path, content in files.items():
        place = tree.path / path
        if content is None:
            place.unlink()
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    await tree.snapshot("work")
    trailers = {"Factory-Team": stage.partition(".")[0]}
    assert not (await repository.merge_stage(tree, message=stage, trailers=trailers)).conflicts


def commit(repository: Repository, files: dict[str, bytes | None]) -> None:
    """What a person commits to main."""
    for path, content in files.items():
        place = repository.path / path
        if content is None:
            place.unlink()
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    git(repository.path, "add", "--all")
    git(repository.path, "-c", "user.name=Me", "-c", "user.email=m@localhost", "commit", "-qm", "Mine")


async def laid_out(repository: Repository, *paths: str) -> LaidOut:
    meeting = await repository.meet(HEAD, YOURS)
    wanted = paths or tuple(conflict.path for conflict in meeting.conflicts)
    return await repository.lay_out(meeting, wanted, parent=meeting.yours)


async def grown(repository: Repository, before: dict[str, bytes]) -> None:
    """A project that has these files before the run begins."""
    commit(repository, {**before})
    await repository.begin_run("run-1")


@pytest.fixture
async def repository(tmp_path: Path) -> Repository:
    repository = Repository("shop", tmp_path / "shop")
    await repository.create()
    return repository


async def test_lines_that_both_sides_added_are_laid_out_with_the_base_between_them(
    repository: Repository,
) -> None:
    await grown(repository, {"log.md": b"# Log\n\n- one\n"})
    await write(repository, "a.1", {"log.md": b"# Log\n\n- one\n- mine\n"})
    commit(repository, {"log.md": b"# Log\n\n- one\n- theirs\n", "other.md": b"x\n"})
    laid = await laid_out(repository)
    (place,) = laid.places["log.md"]
    marks = [line for line in place.splitlines() if line[:11] in {"<" * 11, "|" * 11, "=" * 11, ">" * 11}]
    assert len(marks) == 4
    assert [line for line in place.splitlines() if line not in marks] == ["- theirs", "- mine"]
    meeting = await repository.meet(HEAD, YOURS)
    text = await repository.read(laid.commit, "log.md") or ""
    assert meeting.labels.left_in(text)
    assert not meeting.labels.left_in("<<<<<<< SEARCH\n=======\n>>>>>>> REPLACE\n")
    assert await repository.read(laid.commit, "other.md") == "x\n", "what main has beside it is there"


async def test_a_file_that_one_side_deleted_is_laid_out_whole(repository: Repository) -> None:
    await grown(repository, {"a.py": b"one\n", "b.py": b"one\n"})
    await write(repository, "a.1", {"a.py": b"one\ntwo\n", "b.py": None})
    commit(repository, {"a.py": None, "b.py": b"one\nthree"})
    laid = await laid_out(repository)
    assert "two\n" in laid.places["a.py"][0]
    assert "(deleted)" in laid.places["a.py"][0]
    assert "three\n" in laid.places["b.py"][0]


@pytest.mark.parametrize("content", [b"\0binary", b"\0\xff" * 100])
async def test_what_is_no_text_is_not_laid_out_but_named(repository: Repository, content: bytes) -> None:
    await grown(repository, {"logo.png": b"\0old", "log.md": b"one\n"})
    await write(repository, "a.1", {"logo.png": content, "log.md": b"two\n"})
    commit(repository, {"logo.png": b"\0other", "log.md": b"three\n"})
    laid = await laid_out(repository)
    assert laid.refused == ("logo.png",)
    assert list(laid.places) == ["log.md"]


async def test_a_folder_in_the_place_of_a_file_is_not_laid_out_but_named(repository: Repository) -> None:
    await grown(repository, {"a": b"one\n"})
    await write(repository, "a.1", {"a": b"two\n"})
    commit(repository, {"a": None})
    commit(repository, {"a/b": b"three\n"})
    meeting = await repository.meet(HEAD, YOURS)
    assert meeting.conflicts
    laid = await laid_out(repository)
    assert laid.refused or laid.places
    assert git(repository.path, "rev-parse", "main") == meeting.standing


async def test_files_of_another_team_stay_on_this_side_until_it_is_their_turn(repository: Repository) -> None:
    await grown(repository, {"a.md": b"one\n", "b.md": b"one\n"})
    await write(repository, "a.1", {"a.md": b"mine\n", "b.md": b"mine\n"})
    commit(repository, {"a.md": b"theirs\n", "b.md": b"theirs\n"})
    meeting = await repository.meet(HEAD, YOURS)
    first = await repository.lay_out(meeting, ["a.md"], parent=meeting.yours)
    assert await repository.read(first.commit, "b.md") == "mine\n"
    tree = await repository.open_stage("run-1", "a.1.repair1", base=first.commit)
    tree.files.write("a.md", "theirs\nmine\n")
    repaired = await tree.snapshot("repair")
    assert await tree.changed() == ["a.md"]
    second = await repository.lay_out(meeting, ["b.md"], parent=repaired, onto=repaired)
    assert await repository.read(second.commit, "a.md") == "theirs\nmine\n"
    assert meeting.labels.left_in(await repository.read(second.commit, "b.md") or "")


async def test_a_repaired_merge_is_taken_in_once_and_released_as_it_is(repository: Repository) -> None:
    await grown(repository, {"a.md": b"one\n"})
    await write(repository, "writer.1", {"a.md": b"mine\n"})
    commit(repository, {"a.md": b"theirs\n"})
    meeting = await repository.meet(HEAD, YOURS)
    assert await repository.trailers(HEAD, YOURS, "a.md", "Factory-Team") == ["writer"]
    assert await repository.trailers(YOURS, HEAD, "a.md", "Factory-Team") == []
    laid = await repository.lay_out(meeting, ["a.md"], parent=meeting.yours)
    tree = await repository.open_stage("run-1", "writer.1.repair1", base=laid.commit)
    tree.files.write("a.md", "both\n")
    repaired = await tree.snapshot("repair")
    for _ in range(2):
        taken = await repository.take_in(
            "run-1", meeting, name="merge.1", tree_of=repaired, message="Take main in"
        )
    assert git(repository.path, "rev-parse", f"{taken}^1", f"{taken}^2").split() == [
        meeting.yours,
        meeting.standing,
    ]
    assert (await repository.meet(HEAD, YOURS)).contained
    await repository.release("run-1", tag="v1", message="Release")
    assert (repository.path / "a.md").read_text() == "both\n"


async def test_a_branch_that_moved_takes_nothing_in(repository: Repository) -> None:
    await grown(repository, {"a.md": b"one\n"})
    await write(repository, "a.1", {"b.md": b"mine\n"})
    commit(repository, {"c.md": b"theirs\n"})
    meeting = await repository.meet(HEAD, YOURS)
    await write(repository, "b.1", {"d.md": b"more\n"})
    head = await repository.run_head("run-1")
    with pytest.raises(BranchMoved):
        await repository.take_in("run-1", meeting, name="merge.1", message="Take main in")
    assert await repository.run_head("run-1") == head


async def test_a_stage_of_another_run_that_was_taken_in_is_not_taken_for_ones_own(
    repository: Repository,
) -> None:
    await repository.begin_run("run-1")
    await repository.begin_run("run-2")
    other = await repository.open_stage("run-2", "writer.2")
    other.files.write("x.md", "x\n")
    await other.snapshot("work")
    await repository.merge_stage(other, message="m", trailers={})
    await repository.release("run-2", tag="v2", message="Release")
    await write(repository, "writer.1", {"a.md": b"a\n"})
    await repository.take_in("run-1", await repository.meet(HEAD, YOURS), name="merge.1", message="m")
    await write(repository, "writer.2", {"b.md": b"b\n"})
    assert await repository.read(YOURS, "b.md") == "b\n"
