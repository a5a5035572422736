"""A pack's folders become teams, or an error that names file, field, problem and cure."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from teams.reading import TeamInvalid, UnknownTool
from teams.registry import PackNotFound, Registry, UnknownTeam
from workspace.checks import CHECKS

PACKS = Path(__file__).parents[1] / "packs"


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    shutil.copytree(PACKS / "tiny", tmp_path / "tiny")
    return tmp_path


Change = Callable[[str], str]


def changed(packs: Path, old: str, new: str, team: str = "writer") -> Registry:
    file = packs / "tiny" / team / "team.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return Registry.load("tiny", [packs])


def test_a_team_has_its_file_and_its_texts(registry: Registry) -> None:
    assert registry.ids == ("checker", "writer")
    team = registry.team("writer")
    assert team.limits.iterations == 6
    assert team.soul == "You are the writer. You keep to the facts.\n"
    assert team.author.instructions == "Do the objective.\n"
    assert team.author.alias == "factory/coder"
    assert team.reviewer is not None
    assert team.reviewer.alias == "factory/architect"
    checker = registry.team("checker")
    assert (checker.sandbox, checker.reviewer, checker.limits.minutes) == ("none", None, 30)


def test_the_shipped_pack_is_sound() -> None:
    assert len(Registry.load("software")) == 17


def test_an_unknown_team_is_named_with_those_there_are(registry: Registry) -> None:
    with pytest.raises(UnknownTeam, match=r"nobody.*Known: checker, writer"):
        registry.team("nobody")


@pytest.mark.parametrize("name", ["absent", "../packs", "", "a/b"])
def test_an_unknown_pack_is_refused(name: str, packs: Path) -> None:
    with pytest.raises(PackNotFound):
        Registry.load(name, [packs])


def test_a_folder_without_teams_is_no_pack(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TeamInvalid, match="has no team"):
        Registry.load("empty", [tmp_path])


INVALID = [
    ('purpose = "Turns the requirement into one text."', "", "purpose", "is missing"),
    ('alias = "factory/coder"', 'alias = "factory/coder"\nmodel = "x"', "model", "no field"),
    ("retries = 1", "retrys = 1", "limits.retrys", "no field"),
    ("retries = 1", "retries = -1", "limits.retries", "greater"),
    ("retries = 1", 'retries = "1"', "limits.retries", "integer"),
    ("threshold = 60", "threshold = 101", "threshold", "less"),
    ('checks = ["links"]', 'checks = ["vibes"]', "checks", "'vibes' is no check"),
    ('checks = ["links"]', 'checks = ["links", "links"]', "checks", "twice"),
    ('"docs/**"', '"/docs/**"', "paths", "relative"),
    ('"docs/**"', '"docs/../**"', "paths", "segments"),
    ('["docs/text.md"]', '["[x].md"]', "deliverables", "may contain only"),
    ('["docs/text.md"]', '["README.md"]', "deliverables", "outside"),
    ('["docs/text.md"]', "[]", "deliverables", "at least 1"),
    ('asks = ["checker"]', 'asks = ["nobody"]', "asks", "no team"),
    ('asks = ["checker"]', 'asks = ["writer"]', "asks", "itself"),
    ('sandbox = "test"', 'sandbox = "open"', "sandbox", "unknown"),
    ('sandbox = "test"', 'sandbox = "none"', "sandbox", "bash"),
    ('id = "reviewer"', 'id = "author"', "operatives.id", "twice"),
    ('role = "author"', 'role = "reviewer"', "operatives.role", "0 authors"),
    ('role = "reviewer"', 'role = "author"', "operatives.role", "2 authors"),
    ('role = "reviewer"', 'role = "king"', "operatives.1.role", "unknown"),
    ("operatives/reviewer.md", "operatives/absent.md", "operatives.reviewer.instructions", "no file"),
    ("operatives/reviewer.md", "../checker/SOUL.md", "operatives.reviewer.instructions", "leads out"),
    ('id = "writer"', 'id = "scribe"', "id", "folder"),
    ('id = "writer"', "id = 7", "id", "string"),
    ("[limits]", "[limits", "", "TOML"),
]


@pytest.mark.parametrize(("old", "new", "field", "problem"), INVALID)
def test_a_wrong_team_file_is_refused_by_name(
    packs: Path, old: str, new: str, field: str, problem: str
) -> None:
    with pytest.raises(TeamInvalid) as caught:
        changed(packs, old, new)
    error = caught.value
    assert error.file.endswith("writer/team.toml")
    assert error.field == field
    assert problem in error.problem
    assert error.exit_code == 2
    assert error.todo


def test_an_unknown_tool_is_refused_with_the_tools_there_are(packs: Path) -> None:
    with pytest.raises(UnknownTool, match=r"writer/team\.toml: tools: 'fly' is no tool.*list_files.*bash"):
        changed(packs, '"bash"', '"fly"')


@pytest.mark.parametrize("name", ["SOUL.md", "AGENTS.md", "TOOLS.md"])
def test_a_missing_or_empty_text_is_refused(packs: Path, name: str) -> None:
    file = packs / "tiny" / "writer" / name
    file.write_text("  \n")
    with pytest.raises(TeamInvalid, match="is empty"):
        Registry.load("tiny", [packs])
    file.unlink()
    with pytest.raises(TeamInvalid, match=f"there is no file {name}"):
        Registry.load("tiny", [packs])


def test_a_text_that_is_not_utf_8_is_refused(packs: Path) -> None:
    (packs / "tiny" / "writer" / "SOUL.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TeamInvalid, match="UTF-8"):
        Registry.load("tiny", [packs])


def test_a_project_overrides_any_single_file_and_adds_a_team(packs: Path, tmp_path: Path) -> None:
    override = tmp_path / "override"
    (override / "writer").mkdir(parents=True)
    (override / "writer" / "SOUL.md").write_text("You rhyme.")
    shutil.copytree(packs / "tiny" / "checker", override / "second")
    file = override / "second" / "team.toml"
    file.write_text(file.read_text().replace('id = "checker"', 'id = "second"'))
    (override / "pipeline.toml").write_text("own = true")
    registry = Registry.load("tiny", [packs], override)
    assert registry.ids == ("checker", "second", "writer")
    assert registry.team("writer").soul == "You rhyme.\n"
    assert registry.team("writer").agents == "Read first, then write, then stop.\n"
    assert registry.pack_file("pipeline.toml")[0] == "own = true"


def test_a_project_chooses_no_sandbox_with_a_network(packs: Path, tmp_path: Path) -> None:
    override = tmp_path / "override"
    shutil.copytree(packs / "tiny" / "writer", override / "writer")
    file = override / "writer" / "team.toml"
    file.write_text(file.read_text().replace('sandbox = "test"', 'sandbox = "net"'))
    with pytest.raises(TeamInvalid, match="'net' is unknown"):
        Registry.load("tiny", [packs], override)
    assert changed(packs, 'sandbox = "test"', 'sandbox = "net"').team("writer").sandbox == "net"


def test_the_first_pack_folder_wins(packs: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    (first / "tiny" / "writer").mkdir(parents=True)
    (first / "tiny" / "writer" / "TOOLS.md").write_text("Own notes.")
    assert Registry.load("tiny", [first, packs]).team("writer").tools_notes == "Own notes.\n"


def test_the_checks_a_team_may_name_are_those_that_exist() -> None:
    named = {check for team in Registry.load("software") for check in team.checks}
    assert named <= CHECKS
