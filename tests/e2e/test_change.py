"""`factory change` on what the factory built, and everything that cannot be changed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.test_cli_journeys import Desk, git

WISH = "A library. A member has a name. A book has a title and an author. Members borrow books."


@pytest.fixture
def desk(factory_env: Mapping[str, str], tmp_path: Path) -> Desk:
    return Desk(factory_env, tmp_path)


def imported(desk: Desk) -> Path:
    source = desk.folder / "source"
    (source / "pkg").mkdir(parents=True)
    (source / "pkg" / "__init__.py").write_text('"""Names."""\n')
    (source / "pkg" / "hello.py").write_text('"""Greets."""\n\n\ndef hello() -> str:\n    return "hello"\n')
    (source / "test_hello.py").write_text(
        'from pkg.hello import hello\n\n\ndef test_it() -> None:\n    assert hello() == "hello"\n\n\n'
        "def test_it_is_text() -> None:\n    assert hello().islower()\n"
    )
    git(source.parent, "init", "-q", "-b", "main", str(source))
    git(source, "add", ".")
    git(source, "commit", "-qm", "All")
    return source


@pytest.mark.slow
def test_a_field_is_added_to_what_the_script_built_and_a_persons_own_lines_stay(desk: Desk) -> None:
    offline = ("--model", "offline", "--approve-all")
    built = desk.told("run", WISH, "--project", "lib", "--pipeline", "core", *offline)
    repository = Path(built["repository"])
    guide = repository / "docs/guide/user-guide.md"
    guide.write_text(guide.read_text() + "\nAsk Ada for the key.\n")
    git(repository, "commit", "-qam", "Tell about the key")

    changed = desk.told("change", built["run_id"], "Members have a phone number.", *offline)
    assert changed["status"] == "completed"
    assert changed["project"] == "lib"
    worked = [stage["team"] for stage in changed["stages"] if stage["verdict"] == "pass"]
    assert {"business_analysis", "backend_engineering", "qa_engineering"} <= set(worked)
    compared = desk.told("diff", "last")["diff"]
    assert '+            Field("phone_number"),' in compared
    assert "Ask Ada for the key." in guide.read_text()
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout

    # A change of the change knows what came before it.
    again = desk.told("change", "lib", "Add a field email to member.", *offline)
    assert again["status"] == "completed"
    (entities,) = repository.glob("src/*/entities.py")
    assert '"phone_number"' in entities.read_text()
    assert '"email"' in entities.read_text()
    path = entities.relative_to(repository)
    assert '"email"' not in git(repository, "show", f"{changed['tag']}:{path}")


def test_what_the_script_cannot_change_is_told_and_nothing_is_released(desk: Desk) -> None:
    source = imported(desk)
    told = desk.told(
        *("change", "hello", "Greet politely in pkg/hello.py", "--repo", str(source)),
        *("--model", "offline", "--approve-all"),
        code=3,
    )
    (asked,) = told["waiting_for"]
    assert asked["kind"] == "escalation"
    assert "The script has no change for this text" in asked["question"]
    repository = Path(told["repository"])
    assert git(repository, "rev-parse", "main") == git(source, "rev-parse", "main")


def test_a_change_that_breaks_a_test_is_not_released_without_a_person(desk: Desk) -> None:
    source = imported(desk)
    (desk.folder / "loud.md").write_text(
        'Greet louder.\n\n```edit pkg/hello.py\n<<<<<<< SEARCH\n    return "hello"\n=======\n'
        '    return "HELLO"\n>>>>>>> REPLACE\n```\n'
    )
    told = desk.told(
        *("change", "hello", "loud.md", "--repo", str(source), "--model", "offline", "--approve-all"), code=3
    )
    (asked,) = told["waiting_for"]
    assert asked["kind"] == "escalation"
    assert "check `tests` failed" in asked["question"]
    assert git(Path(told["repository"]), "rev-parse", "main") == git(source, "rev-parse", "main")


def test_a_change_that_takes_a_test_away_is_shown_to_a_person(desk: Desk) -> None:
    source = imported(desk)
    (desk.folder / "less.md").write_text(
        "Test less.\n\n```edit test_hello.py\n<<<<<<< SEARCH\ndef test_it_is_text() -> None:\n=======\n"
        "def it_is_text() -> None:\n>>>>>>> REPLACE\n```\n"
    )
    told = desk.told(
        *("change", "hello", "less.md", "--repo", str(source), "--model", "offline", "--approve-all"), code=3
    )
    (asked,) = told["waiting_for"]
    assert "fewer tests pass than before the change" in asked["question"]


def test_what_cannot_be_changed_is_refused_in_words_and_starts_nothing(desk: Desk) -> None:
    source = imported(desk)
    unknown = desk.told("change", "nowhere", "Add a field", code=2)["error"]
    assert unknown["code"] == "not-found"
    assert unknown["untouched"] == "Nothing was started"
    for empty in ("", "  \n ", "?!"):
        assert desk.told("change", "nowhere", empty, code=2)["error"]["code"].startswith("requirement-")
    waits = desk.told(
        *("change", "hello", "Say more in pkg/hello.py", "--repo", str(source), "--model", "offline"), code=3
    )
    unfinished = desk.told("change", waits["run_id"], "Say less", code=2)["error"]
    assert unfinished["code"] == "run-unfinished"
    taken = desk.told("change", "hello", "Say less", "--repo", str(source), code=2)["error"]
    assert taken["code"] == "project-exists"
    desk.told("reject", waits["waiting_for"][0]["approval_id"], code=4)
    failed = desk.told("change", waits["run_id"], "Say less", code=2)["error"]
    assert failed["code"] == "result-not-here"
    assert len(desk.told("runs")["runs"]) == 1
