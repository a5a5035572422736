"""Two runs on one project at the same time, as two people start them: both changes, or a question."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_cli_journeys import Desk, git

PACKS = Path(__file__).parent.parent / "packs"
NOTES = "docs/notes.md"
TEST = """from pathlib import Path

NOTES = Path(__file__).parents[1] / "docs" / "notes.md"


def test_every_note_has_a_heading_and_a_fence_that_is_closed():
    text = NOTES.read_text()
    assert text.count("```") % 2 == 0
    assert text.count("Added by the offline model") == text.count("\\n## ")
    assert "<<<<<<<" not in text
"""


@pytest.fixture
def desk(factory_env: Mapping[str, str], tmp_path: Path) -> Desk:
    return Desk({**factory_env, "FACTORY_PACK": "notes", "FACTORY_PACK_DIRS": str(PACKS)}, tmp_path)


def side_by_side(desk: Desk, *commands: list[str]) -> list[tuple[int, dict[str, Any]]]:
    """Commands that are started together: how each ended, and the object that it printed."""
    processes = [desk.start(*command, "--json") for command in commands]
    told: list[tuple[int, dict[str, Any]]] = []
    for process in processes:
        done = process.ended()
        assert "Traceback" not in done.stderr, done.stderr
        told.append((done.returncode, json.loads(done.stdout)))
    return told


def source(folder: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "Begin")


def both_at_review(desk: Desk, *wishes: str) -> list[dict[str, Any]]:
    """Two runs of one project that begin at the same commit and wait for their reviews."""
    run = ("--project", "shared", "--model", "offline")
    first = desk.told("run", wishes[0], "--repo", "source", *run, code=3)
    ((code, second),) = side_by_side(desk, ["run", wishes[1], *run])
    assert code == 3
    return [first, second]


def approval(told: Mapping[str, Any]) -> list[str]:
    (waiting,) = told["waiting_for"]
    return shlex.split(waiting["answer_with"])[1:]


def test_two_runs_that_add_to_one_file_at_the_same_time_end_with_both_in_main_and_tests_green(
    desk: Desk, tmp_path: Path
) -> None:
    source(tmp_path / "source", {NOTES: "# Notes\n", "tests/test_notes.py": TEST})
    runs = both_at_review(desk, "A list of books", "A list of plants")
    ended = side_by_side(desk, *(approval(told) for told in runs))
    # Who came second took the other's change in, and shows a person what became of it.
    assert sorted(code for code, _ in ended) == [0, 3]
    ((_, waits),) = [one for one in ended if one[0] == 3]
    (question,) = waits["waiting_for"]
    assert question["kind"] == "review"
    assert NOTES in question["question"]
    last = desk.told(*approval(waits))
    assert last["status"] == "completed"
    repository = Path(last["repository"])
    text = git(repository, "show", f"main:{NOTES}")
    assert "## A list of books" in text
    assert "## A list of plants" in text
    assert git(repository, "status", "--porcelain") == ""
    assert len(git(repository, "tag").split()) == 2
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    subprocess.run(command, cwd=repository, check=True, env={**desk.env, "PYTHONPATH": ""})
    for told in runs:
        assert desk.told("audit", "verify", told["run_id"])["ok"]


def test_two_runs_that_cannot_both_hold_end_with_a_question_that_names_all_of_it(
    desk: Desk, tmp_path: Path
) -> None:
    # There is no page yet: each run writes the whole of its own, in other words.
    alone = TEST.replace("% 2 == 0", "== 2").replace('text.count("\\n## ")', "0")
    source(tmp_path / "source", {"README.md": "# Shared\n", "tests/test_notes.py": alone})
    runs = both_at_review(desk, "A list of books", "A list of plants")
    ended = side_by_side(desk, *(approval(told) for told in runs))
    assert sorted(code for code, _ in ended) == [0, 3]
    ((_, waits),) = [one for one in ended if one[0] == 3]
    (question,) = waits["waiting_for"]
    assert question["kind"] == "escalation"
    for named in (NOTES, *(told["run_id"] for told in runs), "respond:", "approve:", "reject:"):
        assert named in question["question"]
    told = desk.told("reject", question["approval_id"], "--reason", "books first", code=4)
    assert told["status"] == "failed"
    assert "books first" in told["failure"]
    kept = git(told["repository"], "rev-list", "--count", f"main..factory/{told['run_id']}")
    assert int(kept) > 0
