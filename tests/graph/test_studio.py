"""`langgraph.json` names graphs that a LangGraph server can load, draw and start with a requirement."""

import importlib
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from graph.runner import Factory

ROOT = Path(__file__).parents[2]
NAMED: dict[str, str] = json.loads((ROOT / "langgraph.json").read_text())["graphs"]
STAGE = {
    *("brief", "work", "act", "peer_review", "report", "gate", "clarify", "ask_person", "heard", "escalate"),
    *("retain", "close", "fail"),
}


def made_by(place: str) -> AbstractAsyncContextManager[Any]:
    """What the server calls: the factory that stands at `./folder/module.py:name`."""
    path, name = place.split(":")
    module = importlib.import_module(path.removeprefix("./").removesuffix(".py").replace("/", "."))
    return getattr(module, name)({})


@pytest.fixture(autouse=True)
def own_factory(monkeypatch: pytest.MonkeyPatch, factory_env: dict[str, str]) -> None:
    for name in ("FACTORY_HOME", "FACTORY_DATABASE_URL"):
        monkeypatch.setenv(name, factory_env[name])
    monkeypatch.setenv("FACTORY_MODEL", "offline")


@pytest.mark.parametrize(("graph_id", "pipeline"), [("factory", "full"), ("factory-core", "core")])
async def test_each_named_graph_shows_every_team_as_a_subgraph_with_its_nodes(
    graph_id: str, pipeline: str, settings: Settings
) -> None:
    async with Factory.open(settings, model="offline") as factory:
        teams = factory.pipeline(pipeline).teams
    async with made_by(NAMED[graph_id]) as graph:
        drawn = graph.get_graph(xray=True)
        for team in teams:
            assert {node.partition(":")[2] for node in drawn.nodes if node.startswith(f"{team}:")} >= STAGE
        assert {name for name, _ in graph.get_subgraphs()} == {
            "govern",
            "plan",
            *teams,
            "validate",
            "review",
            "release",
            "reconcile",
        }
        picture = drawn.draw_mermaid()
        assert all(f"subgraph {team}" in picture for team in teams)


async def test_a_named_graph_asks_its_client_for_a_requirement_only() -> None:
    async with made_by(NAMED["factory-core"]) as graph:
        assert list(graph.get_input_jsonschema()["properties"]) == ["requirement"]


async def test_every_graph_named_is_tested() -> None:
    assert set(NAMED) == {"factory", "factory-core"}
