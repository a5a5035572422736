"""The software pack is data; these tests are what keeps seventeen folders of prose and TOML consistent."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import teams
from teams import globs
from teams.registry import Registry
from teams.team import Team

PACK = Path(teams.__file__).parent / "packs" / "software"

DOCUMENT_TOOLS = {
    *("list_files", "read_file", "search", "write_file", "edit_file"),
    *("request_clarification", "read_mail", "send_mail", "recall_memory"),
}
ALIASES = {"factory/architect", "factory/coder", "factory/fast", "factory/cheap"}
REQUIRED = {
    "business_analysis",
    "solution_architecture",
    "backend_engineering",
    "qa_engineering",
    "documentation",
}
WAVES: list[set[str]] = [
    {"product_management"},
    {"business_analysis"},
    {"solution_architecture", "ux_ui_design", "compliance_legal"},
    {"api_design", "database_engineering"},
    {"backend_engineering", "frontend_engineering", "data_engineering", "ml_engineering"},
    {"feature_engineering"},
    {"qa_engineering", "security_engineering"},
    {"devops_infrastructure", "sre_operations"},
    {"documentation"},
]
CORE = [
    "business_analysis",
    "solution_architecture",
    "backend_engineering",
    "qa_engineering",
    "documentation",
]
TEAM_IDS = sorted(set().union(*WAVES))


class Pipeline(NamedTuple):
    returns_to: str
    max_rounds: int
    needs: dict[str, list[str]]

    def waves(self) -> list[set[str]]:
        """Stages by the longest way to them; fails on a cycle or on a need that is no stage."""
        left, done, waves = dict(self.needs), set[str](), list[set[str]]()
        while left:
            wave = {team for team, needs in left.items() if done.issuperset(needs)}
            assert wave, f"a cycle, or a need that is no stage, among {sorted(left)}"
            waves.append(wave)
            done |= wave
            left = {team: needs for team, needs in left.items() if team not in wave}
        return waves

    def after(self, team: str) -> set[str]:
        """The team and everything that needs it, directly or through others."""
        found = {team}
        while more := {t for t, needs in self.needs.items() if found & set(needs)} - found:
            found |= more
        return found


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load("software")


@pytest.fixture(scope="module")
def pipelines() -> dict[str, Pipeline]:
    tables = tomllib.loads((PACK / "pipeline.toml").read_text(encoding="utf-8"))["pipelines"]
    read: dict[str, Pipeline] = {}
    for name, table in tables.items():
        needs = {stage["team"]: stage["needs"] for stage in table["stages"]}
        assert len(needs) == len(table["stages"]), f"{name}: a team stands twice"
        read[name] = Pipeline(table["returns_to"], table["max_rounds"], needs)
    return read


@pytest.fixture(params=TEAM_IDS)
def team(request: pytest.FixtureRequest, registry: Registry) -> Team:
    return registry.team(request.param)


def words(text: str) -> list[str]:
    return text.split()


def sentences(text: str) -> Iterator[str]:
    """Sentences of more than eight words, without Markdown's marks and line ends."""
    for block in re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.)\s|\n#+ ", text):
        for sentence in re.split(r"(?<=[.!?:;])\s+", block):
            plain = re.sub(r"[^\w\s]", "", sentence).casefold().split()
            if len(plain) > 8:
                yield " ".join(plain)


def test_the_pack_has_the_seventeen_teams(registry: Registry) -> None:
    assert sorted(registry.ids) == TEAM_IDS
    assert len(registry) == 17


def test_only_the_core_line_is_required(registry: Registry) -> None:
    assert {team.id for team in registry if team.required} == REQUIRED


def test_a_team_says_when_it_is_not_needed(team: Team) -> None:
    assert team.skip_when
    assert "\n" not in team.skip_when
    assert "\n" not in team.purpose
    assert all(word == word.casefold().strip() for word in team.skip_unless)


def test_only_the_optional_code_teams_wait_for_words(registry: Registry) -> None:
    waiting = {team.id for team in registry if team.skip_unless}
    assert waiting == {"frontend_engineering", "data_engineering", "ml_engineering"}


def test_each_deliverable_lies_inside_its_teams_paths(team: Team) -> None:
    for deliverable in team.deliverables:
        assert globs.any_matches(team.paths, globs.sample(deliverable)), deliverable


def test_a_deliverable_is_described_by_name(team: Team) -> None:
    for deliverable in team.deliverables:
        folder, _, name = deliverable.rpartition("/")
        if "*" in name:  # the folder as prose writes it: `src/<package>/web/`
            described = re.escape(f"`{folder}/").replace(r"\*", r"<[a-z]+>")
        else:
            described = re.escape(f"`{deliverable}`").replace(r"\*", r"<[a-z]+>")
        assert re.search(described, team.agents), f"AGENTS.md does not describe {deliverable}"


def test_tools_go_with_the_work(team: Team) -> None:
    runs_code = bool({"tests", "lint"} & set(team.checks))
    assert set(team.tools) == DOCUMENT_TOOLS | ({"bash"} if runs_code else set[str]())
    assert team.sandbox == ("test" if runs_code else "none")


def test_every_team_scans_for_secrets(team: Team) -> None:
    assert "secrets" in team.checks


def test_a_team_names_aliases_and_no_model(team: Team) -> None:
    assert {team.alias, *(operative.alias for operative in team.operatives)} <= ALIASES


def test_a_team_asks_only_teams_that_there_are(team: Team) -> None:
    assert set(team.asks) <= set(TEAM_IDS) - {team.id}
    assert team.asks


def test_an_author_is_reviewed_by_somebody_else(team: Team) -> None:
    assert team.reviewer is not None
    assert team.reviewer.instructions != team.author.instructions


def test_a_reviewer_has_a_checklist_and_answers_in_json(team: Team) -> None:
    assert team.reviewer is not None
    text = team.reviewer.instructions
    assert len(re.findall(r"^\d+\. ", text, re.MULTILINE)) >= 8
    assert '{"findings": ["' in text
    assert '"verdict": "approve" | "revise"}' in " ".join(text.split())
    assert re.search(r"\bdiff\b", text)


def test_texts_are_short_enough_for_small_models(team: Team) -> None:
    assert len(words(team.soul)) <= 250
    assert len(words(team.agents)) <= 550
    assert len(words(team.tools_notes)) <= 200
    for operative in team.operatives:
        assert len(words(operative.instructions)) <= 300, operative.id


def test_a_soul_has_limits_and_refusals(team: Team) -> None:
    for heading in ("# Who you are", "# What good looks like", "# Your limits", "# What you refuse"):
        assert heading in team.soul.splitlines()


def test_working_instructions_have_the_same_rooms_everywhere(team: Team) -> None:
    headings = [line for line in team.agents.splitlines() if line.startswith("## ")]
    for heading in (
        "Inputs",
        "Steps",
        "Deliverables",
        "Hand-off",
        "Whom to ask",
        "Done when",
        "Typical mistakes",
    ):
        assert f"## {heading}" in headings


def test_no_two_teams_share_a_sentence(registry: Registry) -> None:
    said = {team.id: set(sentences(team.agents)) for team in registry}
    shared = {(a, b): said[a] & said[b] for a, b in itertools.combinations(said, 2) if said[a] & said[b]}
    assert not shared


def test_no_two_souls_share_a_sentence(registry: Registry) -> None:
    said = {team.id: set(sentences(team.soul)) for team in registry}
    shared = {(a, b): said[a] & said[b] for a, b in itertools.combinations(said, 2) if said[a] & said[b]}
    assert not shared


def test_folders_hold_nothing_that_is_not_loaded(registry: Registry) -> None:
    for team in registry:
        folder = PACK / team.id
        found = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
        table = tomllib.loads((folder / "team.toml").read_text(encoding="utf-8"))
        loaded = {operative["instructions"] for operative in table["operatives"]}
        assert found == {"team.toml", "SOUL.md", "AGENTS.md", "TOOLS.md"} | loaded


def test_the_full_pipeline_has_the_nine_waves_of_the_design(pipelines: dict[str, Pipeline]) -> None:
    assert pipelines["full"].waves() == WAVES


def test_each_stage_reads_from_the_wave_just_before_it(pipelines: dict[str, Pipeline]) -> None:
    full = pipelines["full"]
    for before, wave in itertools.pairwise(full.waves()):
        assert all(before & set(full.needs[team]) for team in wave)


def test_the_core_pipeline_is_the_line_of_five(pipelines: dict[str, Pipeline]) -> None:
    assert pipelines["core"].waves() == [{team} for team in CORE]


def test_pipelines_name_only_teams_of_the_pack(pipelines: dict[str, Pipeline], registry: Registry) -> None:
    assert set(pipelines) == {"full", "core"}
    for pipeline in pipelines.values():
        assert set(pipeline.needs) <= set(registry.ids)


def test_required_teams_are_in_every_pipeline(pipelines: dict[str, Pipeline]) -> None:
    for pipeline in pipelines.values():
        assert set(pipeline.needs) >= REQUIRED


def test_a_review_returns_to_a_stage_that_all_later_work_hangs_on(pipelines: dict[str, Pipeline]) -> None:
    for pipeline in pipelines.values():
        assert pipeline.returns_to in pipeline.needs
        assert pipeline.max_rounds >= 1
        again = pipeline.after(pipeline.returns_to)
        for team in again - {pipeline.returns_to}:
            assert set(pipeline.needs[team]) <= again, (
                f"{team} would wait for a stage that does not run again"
            )


def test_teams_that_work_side_by_side_deliver_different_files(
    pipelines: dict[str, Pipeline], registry: Registry
) -> None:
    for wave in pipelines["full"].waves():
        for one, other in itertools.permutations(wave, 2):
            delivered = set(registry.team(one).deliverables)
            assert not delivered & set(registry.team(other).deliverables)
