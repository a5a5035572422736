"""Mail as files: hostile text in, bounded and harmless text out; files that never meet."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.workspace.conftest import git
from workspace.errors import NoRoomForMail
from workspace.mail import inbox, reading
from workspace.mail.message import INBOX, LARGEST, MOST_BODY, Message, compose, is_mail, parse, render
from workspace.mail.reading import waiting_for
from workspace.repository import Repository


def message(key: str = "one", *, run: str = "run-1", thread: str = "thread", **more: object) -> Message:
    given: dict[str, object] = {"sender": "qa", "to": ["backend"], "subject": "Colour", "body": "Which?"}
    given |= {"status": "open", "created": "2026-01-01T00:00:00+00:00", **more}
    return compose(run=run, kind="clarification", thread_key=thread, key=key, **given)  # type: ignore[arg-type]


def test_a_message_is_read_as_it_was_written() -> None:
    written = message(body="Line\n---\nid: other\n\n# Ünïcode", subject='a "quoted": subject')
    assert parse(written.path, render(written)) == written


def test_secrets_are_masked_before_a_message_is_kept() -> None:
    kept = render(
        message(body="the key is sk-abcdefghijklmnopqrstuvwxyz0123456789ABCD", subject="ghp_" + "a" * 36)
    )
    assert "sk-abcdef" not in kept
    assert "ghp_aaaa" not in kept


def test_terminal_escapes_in_mail_are_taken_out() -> None:
    kept = render(message(body="\x1b[2J\x1b]0;evil\x07 \u202egnp.exe", subject="a\r\nstatus: closed\x9b1m"))
    assert not any(character in kept for character in "\x1b\x07\u202e\x9b\r")
    assert "\nstatus: closed" not in kept


def test_a_message_has_an_end() -> None:
    kept = message(body="x" * 1_000_000, subject="y" * 5_000)
    assert len(kept.body) < MOST_BODY + 100
    assert len(render(kept).encode()) < LARGEST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no front matter",
        "---\nid: 3\n---\n",
        "---\n" + "a: 1\n" * 100 + "---\n",
        "---\nid: " + "[" * 100_000 + "\n---\n",
    ],
)
def test_a_file_that_is_no_message_is_left_out(text: str) -> None:
    assert parse(".factory/mail/run-1/x.md", text) is None


def test_a_message_in_another_messages_place_is_none() -> None:
    written = message()
    assert parse(written.path.replace("run-1", "run-2"), render(written)) is None
    forged = render(written).replace(json.dumps("run-1"), json.dumps("../../etc"))
    assert parse(written.path, forged) is None


def test_threads_are_told_by_their_newest_message_and_words_find_them() -> None:
    asked = message("asked")
    replied = message("answered", status="answered", body="Blue, says the DESIGN", in_reply_to=asked.id)
    other = message("x", thread="other", subject="Sizes", created="2026-01-02T00:00:00+00:00")
    every = reading.messages({each.path: render(each) for each in (replied, other, asked)})
    threads = reading.threads(every)
    assert [(each.subject, each.status) for each in threads] == [("Sizes", "open"), ("Colour", "answered")]
    assert [each.id for each in threads[1].messages] == [asked.id, replied.id]
    assert [each.id for each in reading.search(every, "design BLUE")] == [replied.id]
    assert reading.search(every, "blue missing") == []


def test_mail_belongs_to_no_team() -> None:
    assert is_mail(".factory/mail/x.md")
    assert is_mail(".Factory/x")
    assert not is_mail("src/.factory/x.md")


async def test_two_runs_and_two_waves_write_mail_that_never_meets(repository: Repository) -> None:
    await repository.begin_run("run-2")
    for run in ("run-1", "run-2"):
        for key in ("a", "b"):
            each = message(key, run=run)
            await repository.post(run, {each.path: render(each).encode()}, message="Mail")
    await repository.release("run-1", tag="t-1", message="Release")
    meeting = await repository.meet(await repository.main(), await repository.run_head("run-2"))
    assert not meeting.conflicts
    await repository.take_in("run-2", meeting, name="merge/1", message="Take main in")
    await repository.release("run-2", tag="t-2", message="Release")
    found = reading.messages(await repository.texts("refs/heads/main", ".factory/mail"))
    assert [(each.run, each.thread) for each in found].count(("run-1", found[0].thread)) == 2
    assert len(found) == 4


async def test_a_message_that_is_written_again_stays_as_it_was(repository: Repository) -> None:
    first, again = message(body="first"), message(body="again")
    head = await repository.post("run-1", {first.path: render(first).encode()}, message="Mail")
    assert await repository.post("run-1", {again.path: render(again).encode()}, message="Mail") == head
    assert reading.messages(await repository.texts(head, ".factory/mail")) == [first]


async def test_mail_beside_work_that_is_merged_disturbs_neither(repository: Repository) -> None:
    tree = await repository.open_stage("run-1", "qa.1")
    (tree.path / "work.md").write_text("work")
    await tree.snapshot("work")
    early, late = message("early"), message("late")
    await repository.post("run-1", {early.path: render(early).encode()}, message="Mail")
    merge = await repository.merge_stage(
        tree, message="Work", trailers={}, mail={late.path: render(late).encode()}
    )
    assert set(await repository.files(merge.commit)) == {"work.md", early.path, late.path}


@pytest.mark.parametrize("place", [".factory", ".factory/mail", ".factory/mail/run-1"])
async def test_a_persons_file_in_the_place_of_mail_is_never_replaced(
    repository: Repository, place: str
) -> None:
    path, each = repository.path / place, message()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a person's own")
    git(repository.path, "add", place)
    git(repository.path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "own")
    main, mail = await repository.main(), {each.path: render(each).encode()}
    with pytest.raises(NoRoomForMail, match=place):
        await repository.post_to_main(mail, message="Mail")
    assert (await repository.main(), path.read_text()) == (main, "a person's own")
    if place == each.path.rpartition("/")[0]:
        return  # another run's mail has room
    with pytest.raises(NoRoomForMail):
        await repository.begin_run("run-2")
    assert "run-2" not in await repository.runs()
    git(repository.path, "rm", "-q", place)
    git(repository.path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "room")
    await repository.begin_run("run-2")
    await repository.post("run-2", mail, message="Mail")
    assert await repository.files(await repository.run_head("run-2")) == [each.path]


async def test_a_folder_in_the_place_of_a_message_is_never_replaced(repository: Repository) -> None:
    each = message()
    (repository.path / each.path).mkdir(parents=True)
    (repository.path / each.path / "own").write_text("a person's own")
    git(repository.path, "add", ".")
    git(repository.path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "own")
    main = await repository.main()
    with pytest.raises(NoRoomForMail, match="a folder and no file"):
        await repository.post_to_main({each.path: b"mail"}, message="Mail")
    assert await repository.main() == main


async def test_a_file_dropped_into_the_inbox_is_a_letter_committed_or_not(repository: Repository) -> None:
    folder = repository.path / INBOX
    folder.mkdir(parents=True)
    (folder / "wish.md").write_text("A service that lends tools")
    (folder / "empty.md").write_text(" \n")
    (folder / "huge.md").write_text("x" * 200_000)
    (folder / "secret.md").symlink_to("/etc/passwd")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    letters = {each.name: each for each in await inbox.letters(repository)}
    assert sorted(letters) == ["empty.md", "huge.md", "secret.md", "wish.md"]
    assert [name for name, each in letters.items() if not each.problem] == ["wish.md"]
    git(repository.path, "add", f"{INBOX}/wish.md")
    git(repository.path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "wish")
    (folder / "wish.md").unlink()
    committed = {each.name: each for each in await inbox.letters(repository)}
    assert committed["wish.md"].key == letters["wish.md"].key


async def test_an_inbox_that_is_a_link_is_not_followed(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "wish.md").write_text("A service")
    (repository.path / ".factory" / "mail").mkdir(parents=True)
    (repository.path / INBOX).symlink_to(tmp_path / "outside")
    assert await inbox.letters(repository) == []


@pytest.mark.parametrize("name", [b"\xff.md", b"a\nstatus: completed.md", b"\x1b[2J.txt"])
async def test_a_letter_with_a_name_that_is_none_is_named_and_left_alone(
    repository: Repository, name: bytes
) -> None:
    folder = repository.path / INBOX
    folder.mkdir(parents=True)
    (folder / "wish.md").write_text("A service that lends tools")
    Path(os.fsdecode(bytes(folder) + b"/" + name)).write_text("A service")
    dropped = {each.name: each.problem for each in await inbox.letters(repository)}
    git(repository.path, "add", ".")
    git(repository.path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "wish")
    for path in folder.iterdir():
        path.unlink()
    committed = {each.name: each.problem for each in await inbox.letters(repository)}
    for found in (dropped, committed):
        assert found.pop("wish.md") == ""
        ((shown, problem),) = found.items()
        assert problem
        assert shown.isprintable()
        assert shown.encode()


async def test_a_letter_with_the_longest_name_can_be_answered(repository: Repository) -> None:
    folder = repository.path / INBOX
    folder.mkdir(parents=True)
    (folder / f"{'ü' * 126}.md").write_text("A service that lends tools")
    (letter,) = await inbox.letters(repository)
    for path, content in ((f"{INBOX}/{letter.name}", letter.text.encode()), (letter.answer, b"done")):
        await repository.post_to_main({path: content}, message="Mail")
    assert (repository.path / letter.answer).read_text() == "done"


def note(created: str, *, to: str = "qa", thread: str = "a", sender: str = "backend", **more: Any) -> Message:
    said: dict[str, Any] = {"run": "run-1", "kind": "note", "subject": "Colour", "body": "Blue."} | more
    said |= {"status": more.get("status", "open"), "created": created, "to": [to], "sender": sender}
    return compose(thread_key=thread, key=f"{thread}/{created}", **said)


def test_mail_waits_for_a_team_until_it_is_answered_or_the_team_has_handed_on() -> None:
    handed = note("2026-01-02", thread="h", kind="hand-off", sender="qa", to="docs", status="closed")
    old, new = note("2026-01-01", thread="old"), note("2026-01-03", thread="new")
    asked = note("2026-01-04", thread="b")
    answered = note("2026-01-05", thread="b", sender="qa", status="answered", to="backend")
    others = [note("2026-01-06", to="docs", thread="c"), note("2026-01-07", thread="d", sender="qa")]
    assert waiting_for("qa", [old, handed, new, asked, answered, *others]) == [new]
    assert waiting_for("qa", [old, new]) == [new, old]
