"""Graphs and assistants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from langgraph_sdk.errors import ConflictError, NotFoundError

from api.protocol import loading
from api.protocol.errors import GraphsInvalid
from tests.api.protocol.conftest import OpenProtocol


async def test_each_graph_and_pipeline_and_team_has_an_assistant(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        found = await spoken.client.assistants.search(limit=100)
        names = {one["graph_id"] for one in found}
        assert {"talk", "slow", "made", "factory", "factory-one", "team-scout"} <= names
        assert await spoken.client.assistants.count(graph_id="talk") == 1
        # The id is what other servers of the protocol give it: uuid5 of a namespace that they share.
        talk = await spoken.client.assistants.get("talk")
        assert (
            talk["assistant_id"] == (await spoken.client.assistants.get(talk["assistant_id"]))["assistant_id"]
        )
        with pytest.raises(NotFoundError):
            await spoken.client.assistants.get("nobody")


async def test_an_assistant_has_versions(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        assistants = spoken.client.assistants
        made = await assistants.create(
            "talk", name="shy", config={"configurable": {"a": 1}}, metadata={"of": "us"}
        )
        name = made["assistant_id"]
        again = await assistants.create("talk", assistant_id=name, if_exists="do_nothing")
        assert again["name"] == "shy"
        with pytest.raises(ConflictError):
            await assistants.create("talk", assistant_id=name)
        changed = await assistants.update(name, name="bold", metadata={"and": "them"})
        assert (changed["version"], changed["metadata"]["of"]) == (2, "us")
        assert [one["version"] for one in await assistants.get_versions(name)] == [2, 1]
        assert (await assistants.set_latest(name, 1))["name"] == "shy"
        # A number is never given out twice.
        assert (await assistants.update(name, name="third"))["version"] == 3
        assert [one["assistant_id"] for one in await assistants.search(metadata={"of": "us"})] == [name]
        await assistants.delete(name)
        with pytest.raises(NotFoundError):
            await assistants.get(name)
        with pytest.raises(ConflictError):
            await assistants.delete((await assistants.get("talk"))["assistant_id"])


async def test_a_graph_is_drawn_with_what_is_inside(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        assistants = spoken.client.assistants
        plain = await assistants.get_graph("talk")
        assert {"speak", "ask", "nested"} <= {str(node["id"]) for node in plain["nodes"]}
        inside = await assistants.get_graph("talk", xray=True)
        assert "nested:inner" in {str(node["id"]) for node in inside["nodes"]}
        schemas = await assistants.get_schemas("talk")
        assert set(schemas["state_schema"]["properties"]) == {"messages", "told"}
        assert "nested" in await assistants.get_subgraphs("talk")
        teams = {str(node["id"]) for node in (await assistants.get_graph("factory"))["nodes"]}
        assert {"govern", "plan", "scout", "review", "release"} <= teams
        alone = {str(node["id"]) for node in (await assistants.get_graph("team-scout"))["nodes"]}
        assert "scout" in alone
        assert "maker" not in alone


async def test_a_factory_of_graphs_is_told_why_it_is_called(open_protocol: OpenProtocol) -> None:
    async with open_protocol() as spoken:
        result = await spoken.client.runs.wait(
            None, "made", input={}, config={"configurable": {"color": "green"}}
        )
        assert result == {
            "why": "threads.create_run",
            "user": "green",
            "about": "ferns",
            "remembered": "threads.create_run",
        }
        kept = await spoken.client.store.get_item(("made",), "last")
        assert kept["value"] == {"why": "threads.create_run"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no json", "cannot be read"),
        ("[]", "names no graphs"),
        ('{"graphs": {}}', "names no graphs"),
        ('{"graphs": {"a": "nocolon"}}', "graph 'a' is 'nocolon'"),
        ('{"graphs": {"a": "./none.py:graph"}}', "cannot be loaded"),
        ('{"graphs": {"a": "./none.py:graph"}, "dependencies": ["./nowhere"]}', "no folder"),
        ('{"graphs": {"a": "json:dumps"}, "dependencies": ["surely-not-installed-here"]}', "not installed"),
        ('{"graphs": {"a": "json:decoder"}}', "is a module"),
        ('{"graphs": {"a": "json:dumps"}, "env": "none.env"}', '"env" cannot be read'),
    ],
)
def test_a_file_of_graphs_that_cannot_be_used_says_why(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "langgraph.json"
    path.write_text(content)
    with pytest.raises(GraphsInvalid, match=said):
        loading.load(loading.read(path))


def test_a_file_of_graphs_sets_what_is_not_set_and_nothing_of_the_factory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SET_BEFORE", "stays")
    monkeypatch.delenv("SET_BY_FILE", raising=False)
    (tmp_path / ".env").write_text(
        "# a comment\nexport SET_BY_FILE='new'\nSET_BEFORE=lost\nFACTORY_MODEL=evil\n"
    )
    path = tmp_path / "langgraph.json"
    path.write_text(json.dumps({"graphs": {"a": "json:dumps"}, "env": ".env"}))
    import os

    before = os.environ.get("FACTORY_MODEL")
    loading.load(loading.read(tmp_path))
    assert (os.environ["SET_BY_FILE"], os.environ["SET_BEFORE"]) == ("new", "stays")
    assert os.environ.get("FACTORY_MODEL") == before
    monkeypatch.setenv("SET_BY_FILE", "")
