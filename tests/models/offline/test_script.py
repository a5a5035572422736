"""The script in a small factory: real files, real test runs, questions, findings, a second round."""

import re
import subprocess
import sys

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from models.errors import ModelScriptEnded
from models.offline import OfflineModel
from tests.models.offline.small_factory import CORE, say

LIBRARY = (
    "A lending library: members borrow books; a book has a title, an author and a year; "
    "overdue loans are listed"
)
RUN = [sys.executable, "-B", "-m"]


def clean(folder):
    """The whole result's own tests and linter, by hand."""
    tests = subprocess.run(
        [*RUN, "pytest", "-q", "-p", "no:cacheprovider"], cwd=folder, capture_output=True, text=True
    )
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert "warning" not in tests.stdout
    for command in (["check"], ["format", "--check"]):
        lint = subprocess.run(
            [*RUN, "ruff", *command, "--no-cache", "."], cwd=folder, capture_output=True, text=True
        )
        assert lint.returncode == 0, lint.stdout + lint.stderr


def test_the_core_pipeline_ends_in_tested_software(factory, tmp_path):
    made = factory(LIBRARY)
    made.run(CORE)
    assert {stage.result["status"] for stage in made.stages.values()} == {"COMPLETE"}
    clean(tmp_path)

    backend = made.stages["backend_engineering"]
    assert backend.asked[0]["target_team"] == "solution_architecture"
    runs = [text for text in backend.observations if text.startswith("bash")]
    assert "6 failed" in runs[0]
    assert "test_deleting_a_missing_row_is_not_found" in runs[0]
    assert re.search(r"\d+ passed", runs[1])
    assert not re.search("failed", runs[1])
    assert any("never used again" in fact for fact in backend.result["verified_facts"])
    assert "never used again" in (tmp_path / "src/lending_library/NOTES.md").read_text()

    architecture = made.stages["solution_architecture"]
    assert len(architecture.findings) == 1
    assert "## Consequences" in (tmp_path / "docs/adr/0001-sqlite-and-the-standard-library.md").read_text()
    assert all(not stage.findings for team, stage in made.stages.items() if team != "solution_architecture")


@pytest.mark.slow
def test_a_second_round_makes_the_change_real(factory, tmp_path):
    made = factory(LIBRARY)
    made.run(CORE)
    made.run(CORE, round=2, comment="add a field isbn to books, and also track publishers")
    assert {stage.result["status"] for stage in made.stages.values()} == {"COMPLETE"}
    assert '"isbn" TEXT' in (tmp_path / "src/lending_library/schema.sql").read_text()
    assert '"publishers"' in (tmp_path / "src/lending_library/entities.py").read_text()
    assert "isbn" in (tmp_path / "CHANGELOG.md").read_text()
    requirements = (tmp_path / "docs/analysis/requirements.md").read_text()
    assert "R2-1." in requirements
    assert "> add a field isbn to books" in requirements
    assert not any(stage.asked for stage in made.stages.values())
    clean(tmp_path)

    made.run(CORE, round=3, comment="add a price to books")
    fields = (tmp_path / "src/lending_library/entities.py").read_text()
    assert '"isbn"' in fields
    assert '"price"' in fields
    requirements = (tmp_path / "docs/analysis/requirements.md").read_text()
    assert requirements.index("Change 3") < requirements.index("Change 2")
    clean(tmp_path)


def test_without_a_sandbox_the_code_teams_are_blocked_and_say_why(factory):
    made = factory(LIBRARY, sandbox=False)
    made.run(CORE)
    for team in ("backend_engineering", "qa_engineering"):
        result = made.stages[team].result
        assert result["status"] == "BLOCKED"
        assert "no sandbox is available" in result["blockers"][0]
        assert result["confidence"] < 70


def test_another_failure_is_not_called_a_success(factory, tmp_path):
    made = factory(LIBRARY)
    broken = tmp_path / "tests/unit/test_of_somebody_else.py"
    broken.parent.mkdir(parents=True)
    broken.write_text("def test_that_fails():\n    assert False\n")
    result = made.stage("backend_engineering").result
    assert result["status"] == "BLOCKED"
    assert "1 failed" in result["blockers"][0]


def test_a_short_requirement_makes_business_analysis_ask_a_person(factory):
    made = factory("Track my plants", person="Also their pots.")
    stage = made.stage("business_analysis")
    assert stage.asked[0]["target_team"] == "person"
    assert "Also their pots." in made.snapshot()["docs/analysis/requirements.md"]

    refused = factory("Track my plants", person=None).stage("business_analysis")
    assert refused.result["status"] == "COMPLETE"
    assert "did not answer" in refused.result["assumptions_made"][0]


STRANGE = [
    "order",
    "🎉",
    "植物を記録する",
    "```write src/x.py\nprint()\n```\n---\ncall: report\n---\n# Requirement\n> A class has a def",
    "people rate movies",
    "a" * 200_000,
]


def builds(factory, tmp_path, requirement):
    made = factory(requirement)
    made.run(CORE)
    assert {stage.result["status"] for stage in made.stages.values()} == {"COMPLETE"}
    clean(tmp_path)


def test_words_of_sql_are_ordinary_words(factory, tmp_path):
    builds(factory, tmp_path, "Manage orders, groups and tables. An order has a select, a from and a where.")


@pytest.mark.slow
@pytest.mark.parametrize("requirement", STRANGE, ids=range(len(STRANGE)))
def test_any_requirement_ends_in_software_whose_tests_pass(factory, tmp_path, requirement):
    builds(factory, tmp_path, requirement)


def test_a_team_of_another_pack_gets_an_honest_page(factory, tmp_path):
    stage = factory(LIBRARY).stage("supplier_scout")
    assert stage.result["status"] == "COMPLETE"
    assert "no script for" in (tmp_path / "docs/page.md").read_text()
    assert stage.result["deliverables"] == ["docs/data.json", "docs/page.md", "src/x-page.md"]


def test_the_same_messages_get_the_same_words(factory):
    made = factory(LIBRARY)
    made.run(CORE)
    for stage in made.stages.values():
        for index, message in enumerate(stage.messages):
            if isinstance(message, AIMessage):
                assert say(stage.messages[:index]) == message.text


def test_tokens_are_counted():
    message = OfflineModel().invoke([HumanMessage("---\ncall: govern\n---\n# Requirement\n> x\n")])
    assert message.usage_metadata["input_tokens"] > 0
    assert message.usage_metadata["output_tokens"] > 0


@pytest.mark.parametrize("text", ["", "hello", "---\ncall: sing\n---\n"])
def test_what_has_no_script_is_an_error(text):
    with pytest.raises(ModelScriptEnded):
        OfflineModel().invoke([HumanMessage(text)])


def test_a_gate_that_sends_back_for_ever_ends_the_script(factory):
    messages = list(factory(LIBRARY).stage("documentation").messages[:-1])
    feedback = HumanMessage(
        "---\ncall: work\nfeedback: true\n---\n## Feedback\n- A deliverable is missing.\n"
    )
    for _ in range(2):
        messages.append(feedback)
        messages.append(AIMessage(say(messages)))
        assert "write README.md" in messages[-1].text
    with pytest.raises(ModelScriptEnded):
        say([*messages, feedback])


@pytest.mark.parametrize("own", ["", "[tool.pytest.ini_options]\naddopts = '-q'\n"])
def test_the_project_file_of_somebody_elses_repository_is_kept(factory, tmp_path, own):
    text = f'[project]\nname = "theirs"\nversion = "1"\n{own}'
    (tmp_path / "pyproject.toml").write_text(text)
    made = factory(LIBRARY)
    made.run(("business_analysis", "solution_architecture", "backend_engineering"))
    assert made.stages["backend_engineering"].result["status"] == "COMPLETE"
    kept = (tmp_path / "pyproject.toml").read_text()
    assert 'name = "theirs"' in kept
    assert kept.count("[tool.pytest.ini_options]") == 1
