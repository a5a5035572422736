"""The ways of a person through the product, from the first command to the software, as real processes."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.process import Process
from tests.cli.terminal import PROMPT, Terminal

WISH = "A list of books"
RISKY = "A service that takes payments by credit card and transfers money to suppliers"
LONG = 300.0
"""Seconds a run may take where the machine is busy."""

RUN = {
    *("run_id", "status", "project", "by", "repository", "tag", "cost_usd", "tokens", "seconds"),
    *("stages", "waiting_for", "waits_behind", "failure", "pull_request", "score", "checks", "budgets"),
}
STAGE = {"team", "verdict", "attempts", "seconds", "tokens", "cost_usd", "skipped_because"}
WAITING = {"approval_id", "kind", "question", "answer_with"}


class Desk:
    """A folder in which a person types `factory …`, without a terminal."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self.env, self.folder = dict(env), folder

    def start(self, *arguments: str) -> Process:
        """A command that works beside others."""
        return Process(arguments, env=self.env, folder=self.folder)

    def plain(self, *arguments: str, code: int = 0) -> str:
        """What a command prints on stdout; it ends with `code`."""
        done = self.start(*arguments).ended()
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def told(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """The one object that a command prints with --json."""
        return json.loads(self.plain(*arguments, "--json", code=code))


@pytest.fixture
def desk(factory_env: Mapping[str, str], tmp_path: Path) -> Desk:
    return Desk(factory_env, tmp_path)


def git(folder: Path | str, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@b")
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def assert_whole(told: Mapping[str, Any], status: str) -> None:
    """The object has the fields that docs/using.md promises, and that status."""
    assert told.keys() == RUN
    assert told["status"] == status
    assert all(stage.keys() == STAGE for stage in told["stages"])
    assert all(waiting.keys() == WAITING for waiting in told["waiting_for"])


def test_at_a_terminal_of_80_columns_from_the_wish_to_the_software(desk: Desk) -> None:
    terminal = Terminal(
        ["run", WISH, "--pipeline", "core", "--model", "offline"], desk.env, desk.folder, columns=80
    )
    # A question on the way: Enter takes the assumption that it names.
    terminal.expect(PROMPT, seconds=LONG)
    assert "offline model: scripted output" in terminal.seen
    assert "Enter: " in terminal.seen
    terminal.type("\n")
    # Interrupted in the middle of the work …
    terminal.expect("running.*Backend", seconds=LONG)
    assert "✓ respond" in terminal.seen
    terminal.type("\x03")
    assert terminal.ended(seconds=LONG) == 130, terminal.seen[-3000:]
    assert "factory resume run-" in terminal.seen
    assert "Traceback" not in terminal.seen
    # … and continued to the review, which shows first what has changed, and the question under it.
    terminal = Terminal(["resume", "last"], desk.env, desk.folder, columns=80)
    terminal.expect(PROMPT, seconds=LONG)
    screen = terminal.seen[terminal.seen.index("? Review") :]
    assert "lines more" in screen
    assert screen.index("lines more") < screen.index("Approve to release it")
    assert max(len(line) for line in screen.split("\r\n")) < 200  # a line and its colours
    terminal.type("approve\n")
    assert terminal.ended(seconds=LONG) == 0
    assert "completed" in terminal.seen
    assert "backend_engineering" in terminal.seen  # not folded
    told = desk.told("show", "last")
    assert_whole(told, "completed")
    assert told["tag"] in git(told["repository"], "tag").split()


@pytest.mark.slow
def test_without_a_terminal_every_question_comes_with_the_command_that_answers_it(desk: Desk) -> None:
    source = desk.folder / "source"
    source.mkdir()
    git(source, "init", "-q", "-b", "trunk")
    (source / "NOTICE").write_text("ours\n")
    git(source, "add", ".")
    git(source, "commit", "-q", "-m", "first")
    (source / "unsaved.txt").write_text("not committed\n")
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    (desk.folder / "wish.md").write_text(f"# {WISH}\n")

    told = desk.told(
        *("run", "wish.md", "--repo", "source", "--project", "shop"),
        *("--pipeline", "core", "--model", "offline"),
        code=3,
    )
    assert_whole(told, "awaiting_input")
    run = told["run_id"]
    (asked,) = told["waiting_for"]
    command = shlex.split(asked["answer_with"])
    assert command[:2] == ["factory", "answer"]
    desk.plain(*command[1:-1], "Nothing more", "--no-resume")

    # Somebody watches while somebody else lets it go on.
    watcher = desk.start("watch", run)
    told = desk.told("resume", run, code=3)
    (review,) = told["waiting_for"]
    watched = watcher.ended()
    assert watched.returncode == 3
    assert review["approval_id"] in watched.stdout

    told = desk.told(*shlex.split(review["answer_with"])[1:])
    assert_whole(told, "completed")
    repository = told["repository"]
    assert told["tag"] in git(repository, "tag").split()
    assert (Path(repository) / "NOTICE").read_text() == "ours\n"
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == before

    assert [listed["run_id"] for listed in desk.told("runs")["runs"]] == [run]
    events = desk.told("replay", run)["events"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["kind"] == "run.ended"
    assert desk.told("audit", "verify", run)["ok"]

    # The next wish for the same project begins where the first has ended.
    told = desk.told("run", RISKY, "--project", "shop", "--model", "offline", code=3)
    assert told["repository"] == repository
    (risk,) = told["waiting_for"]
    told = desk.told("reject", risk["approval_id"], "--reason", "not now", code=5)
    assert_whole(told, "rejected")
    assert "not now" in told["failure"]
