from typing import Any

import pytest

from graph.dag import PipelineInvalid, UnknownPipeline, build, load

TEAMS = ("a", "b", "c", "d", "e")


def stages(**needs: str) -> dict[str, Any]:
    return {"stages": [{"team": team, "needs": list(wanted)} for team, wanted in needs.items()]}


def test_a_stage_runs_in_the_wave_after_the_latest_of_its_needs() -> None:
    pipeline = build("p", stages(d="bc", a="", b="a", c="b"), TEAMS, where="p")
    assert [(s.team, s.wave) for s in pipeline.stages] == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]
    assert pipeline.sinks == ("d",)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (stages(a="b", b="a"), "wait for each other in a circle (a, b)"),
        (stages(a="a"), "in a circle"),
        (stages(x=""), "unknown team 'x'"),
        (stages(a="b"), "needs 'b', which is not one of its stages"),
        ({"stages": []}, "has no stages"),
        ({"stages": [{}]}, "stage 1 has no team"),
        ({"stages": [{"team": "a"}, {"team": "a"}]}, "stands there twice"),
        ({"stages": [{"team": "a", "needs": "b"}]}, "must be a list"),
        ({**stages(a=""), "returns_to": "b"}, "returns_to names 'b'"),
        ({**stages(a=""), "max_rounds": 0}, "at least 1"),
        ({**stages(a=""), "colour": 1}, "unknown field colour"),
        ({**stages(a="", b="", c="ab"), "returns_to": "a"}, "'c' needs b, which a second round"),
    ],
)
def test_a_pipeline_that_cannot_run_is_refused_with_the_reason(table: dict[str, Any], said: str) -> None:
    with pytest.raises(PipelineInvalid) as refused:
        build("p", table, TEAMS, where="pipeline.toml")
    assert said in str(refused.value)
    assert "pipeline.toml" in str(refused.value)


def test_an_unknown_pipeline_names_those_that_exist() -> None:
    with pytest.raises(UnknownPipeline, match=r"Use one of: core, full"):
        load("[pipelines.core]\nx=1\n[pipelines.full]\ny=2\n", "huge", TEAMS, where="pipeline.toml")


def test_a_file_that_is_no_toml_is_named() -> None:
    with pytest.raises(PipelineInvalid, match=r"pipeline\.toml"):
        load("[[", "core", TEAMS, where="pipeline.toml")
