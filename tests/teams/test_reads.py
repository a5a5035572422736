"""Nobody replaces a file unseen: a write over what was not read, or not as it is now, is refused."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from core.settings import Settings
from teams.reads import Reads
from teams.team import Team
from teams.tools import ToolContext, stage_tools
from workspace.projects import Workspace
from workspace.sandbox import Sandbox
from workspace.stage import StageTree


class Operative:
    """Uses tools one after the other, and may be another process from one use to the next."""

    def __init__(self, tree: StageTree, sandbox: Sandbox, team: Team) -> None:
        self.tree, self.sandbox, self.team = tree, sandbox, team
        self.history: list[ToolMessage] = []

    async def use(self, name: str, **args: Any) -> str:
        """Use a tool as a process does that has only what a checkpoint gave it."""
        serde = JsonPlusSerializer()
        stored = serde.loads_typed(serde.dumps_typed(self.history))
        context = ToolContext(self.tree, self.sandbox, self.team, Reads(stored))
        tools = {tool.name: tool for tool in stage_tools(self.team, context)}
        message = await tools[name].ainvoke({"type": "tool_call", "name": name, "args": args, "id": "1"})
        assert isinstance(message, ToolMessage)
        self.history.append(message)
        return str(message.content)


@pytest.fixture
async def operative(tmp_path: Path, writer: Team) -> Operative:
    repository = await Workspace(Settings(home=tmp_path / "home")).project("demo")
    await repository.begin_run("run-1")
    tree = await repository.open_stage("run-1", "writer.1")
    (tree.path / "src").mkdir()
    (tree.path / "src" / "a.py").write_text("x = 1\n")
    return Operative(tree, await Sandbox.open(Settings(home=tmp_path / "home")), writer)


async def test_a_file_that_was_not_read_is_not_replaced(operative: Operative) -> None:
    said = await operative.use("write_file", path="src/a.py", content="x = 2\n")
    assert said.startswith("error: src/a.py exists, and you have not read it")
    assert "read_file" in said
    assert (operative.tree.path / "src" / "a.py").read_text() == "x = 1\n"


async def test_a_file_that_was_read_is_replaced_by_a_process_that_knows_only_the_history(
    operative: Operative,
) -> None:
    await operative.use("read_file", path="./src/a.py")
    assert (await operative.use("write_file", path="src/a.py", content="x = 2\n")).startswith("wrote")
    assert (await operative.use("write_file", path="src/a.py", content="x = 3\n")).startswith("wrote")


async def test_a_file_that_changed_since_it_was_read_is_not_replaced_until_it_is_read_again(
    operative: Operative,
) -> None:
    await operative.use("read_file", path="src/a.py")
    (operative.tree.path / "src" / "a.py").write_text("x = 1\ny = 1\n")
    said = await operative.use("write_file", path="src/a.py", content="x = 2\n")
    assert said.startswith("error: src/a.py has changed since you read it")
    assert (operative.tree.path / "src" / "a.py").read_text() == "x = 1\ny = 1\n"
    await operative.use("read_file", path="src/a.py")
    assert (await operative.use("write_file", path="src/a.py", content="x = 2\n")).startswith("wrote")


async def test_who_changed_one_place_without_reading_does_not_know_the_file(operative: Operative) -> None:
    assert (
        await operative.use("edit_file", path="src/a.py", search="x = 1", replace="x = 5")
    ) == "edited src/a.py"
    said = await operative.use("write_file", path="src/a.py", content="")
    assert "you have not read it" in said
    await operative.use("read_file", path="src/a.py")
    await operative.use("edit_file", path="src/a.py", search="x = 5", replace="x = 6")
    assert (await operative.use("write_file", path="src/a.py", content="")).startswith("wrote")


async def test_an_edit_whose_search_text_is_gone_is_refused(operative: Operative) -> None:
    await operative.use("read_file", path="src/a.py")
    (operative.tree.path / "src" / "a.py").write_text("z = 1\n")
    said = await operative.use("edit_file", path="src/a.py", search="x = 1", replace="x = 2")
    assert "is not in the file" in said
    assert (operative.tree.path / "src" / "a.py").read_text() == "z = 1\n"


async def test_a_new_file_and_the_same_content_need_no_reading(operative: Operative) -> None:
    assert (await operative.use("write_file", path="src/new.py", content="n\n")).startswith("wrote")
    assert (await operative.use("write_file", path="src/a.py", content="x = 1\n")).startswith("wrote")
