"""The tools do what is granted inside a real worktree, and tell the model what they refuse."""

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool

from core.settings import Settings
from teams.grants import TOOL_RISK
from teams.registry import Registry
from teams.team import Team
from teams.tools import ToolContext, stage_tools
from workspace.projects import Workspace
from workspace.sandbox import Sandbox
from workspace.stage import StageTree


@pytest.fixture
async def tree(tmp_path: Path) -> StageTree:
    repository = await Workspace(Settings(home=tmp_path / "home")).project("demo")
    await repository.begin_run("run-1")
    return await repository.open_stage("run-1", "writer.1")


@pytest.fixture
async def tools(tree: StageTree, writer: Team, tmp_path: Path) -> dict[str, BaseTool]:
    sandbox = await Sandbox.open(Settings(home=tmp_path / "home"))
    return {tool.name: tool for tool in stage_tools(writer, ToolContext(tree, sandbox, writer))}


async def use(tools: dict[str, BaseTool], name: str, **args: Any) -> ToolMessage:
    message = await tools[name].ainvoke({"type": "tool_call", "name": name, "args": args, "id": "1"})
    assert isinstance(message, ToolMessage)
    assert isinstance(message.content, str)
    return message


async def said(tools: dict[str, BaseTool], name: str, **args: Any) -> str:
    return str((await use(tools, name, **args)).content)


async def test_a_team_gets_what_it_was_granted_and_no_more(tree: StageTree, registry: Registry) -> None:
    sandbox = await Sandbox.open(Settings())
    checker = registry.team("checker")
    granted = stage_tools(checker, ToolContext(tree, sandbox, checker))
    assert [tool.name for tool in granted] == [
        "list_files",
        "read_file",
        "write_file",
        "request_clarification",
    ]
    assert all(tool.metadata == {"risk": TOOL_RISK[tool.name]} for tool in granted)  # type: ignore[index]


async def test_a_file_is_written_read_changed_and_found(tools: dict[str, BaseTool], tree: StageTree) -> None:
    written = await use(tools, "write_file", path="./src/a.py", content="x = 1\ny = 2")
    digest = sha256(b"x = 1\ny = 2").hexdigest()
    assert written.artifact == {"ok": True, "path": "src/a.py", "sha256": digest}
    assert await said(tools, "read_file", path="src/a.py") == "x = 1\ny = 2"
    await use(tools, "edit_file", path="src/a.py", search="y = 2\n", replace="y = 3\n")
    assert (tree.path / "src" / "a.py").read_text() == "x = 1\ny = 3\n"
    assert await said(tools, "list_files", pattern="src/**") == "src/a.py"
    assert await said(tools, "search", query="Y = 3|nothing") == "src/a.py:2: y = 3"
    assert "lines 2 to 2 of 2" in await said(tools, "read_file", path="src/a.py", start=2)


@pytest.mark.parametrize(
    "path",
    ["README.md", "../src/a.py", "/etc/passwd", "src/../README.md", ".git/config", "src", "", "src/a\x00b"],
)
async def test_a_write_outside_the_teams_paths_is_refused(
    tools: dict[str, BaseTool], tree: StageTree, path: str
) -> None:
    (tree.path / "src").mkdir(exist_ok=True)
    for name, args in (("write_file", {"content": "x"}), ("edit_file", {"search": "a", "replace": "b"})):
        message = await use(tools, name, path=path, **args)
        assert str(message.content).startswith("error: ")
        assert message.artifact["ok"] is False
    assert await tree.changed() == []
    told = await said(tools, "write_file", path="README.md", content="x")
    assert told == "error: README.md lies outside what writer may write: docs/**, src/**"


async def test_a_symlink_leads_nowhere(tools: dict[str, BaseTool], tree: StageTree, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tree.path / "src").mkdir()
    (tree.path / "src" / "link").symlink_to(tmp_path / "secret")
    assert "secret" not in (await said(tools, "read_file", path="src/link")).replace("src/link", "")
    assert (await said(tools, "edit_file", path="src/link", search="secret", replace="x")).startswith(
        "error: "
    )
    assert (tmp_path / "secret").read_text() == "secret"


async def test_what_does_not_fit_is_told(tools: dict[str, BaseTool]) -> None:
    assert "no file" in await said(tools, "read_file", path="src/absent.py")
    assert "path" in await said(tools, "write_file", content="x")
    assert (await use(tools, "write_file", content="x")).status == "error"
    await use(tools, "write_file", path="src/a.py", content="a\na\n")
    assert "2 times" in await said(tools, "edit_file", path="src/a.py", search="a\n", replace="b\n")
    assert "not in the file" in await said(tools, "edit_file", path="src/a.py", search="c", replace="b")
    assert await said(tools, "search", query=" | ") == "error: the query is empty"
    assert await said(tools, "search", query="(a+)+$") == "nothing contains (a+)+$"


async def test_a_long_file_is_shown_in_part(tools: dict[str, BaseTool]) -> None:
    await use(tools, "write_file", path="src/long.txt", content="word " * 20_000)
    shown = await said(tools, "read_file", path="src/long.txt")
    assert len(shown) < 13_000
    assert "characters left out" in shown


async def test_actions_that_are_started_together_happen_in_their_order(tools: dict[str, BaseTool]) -> None:
    await asyncio.gather(*(use(tools, "write_file", path="src/n", content=str(n)) for n in range(20)))
    assert await said(tools, "read_file", path="src/n") == "19"


async def test_a_command_runs_in_the_sandbox(tools: dict[str, BaseTool], tmp_path: Path) -> None:
    if not (await Sandbox.open(Settings(home=tmp_path / "home"))).available:
        pytest.skip("no sandbox on this machine")
    await use(tools, "write_file", path="src/a.py", content="print('\\x1b[31mred\\x1b[0m')\n")
    done = await use(tools, "bash", command="python3 src/a.py; exit 3")
    assert done.content == "red"
    assert (done.artifact["ok"], done.artifact["exit_code"]) == (False, 3)
    slow = await use(tools, "bash", command="sleep 30", seconds=1)
    assert (slow.artifact["ok"], slow.artifact["ended_by"]) == (False, "timeout")
    assert "limit on timeout" in str(slow.content)


async def test_a_teams_own_look_at_its_tests_loads_the_plugins_that_the_check_loads(
    tools: dict[str, BaseTool], tmp_path: Path
) -> None:
    if not (await Sandbox.open(Settings(home=tmp_path / "home"))).available:
        pytest.skip("no sandbox on this machine")
    told = 'echo "[$PYTEST_DISABLE_PLUGIN_AUTOLOAD]"'
    assert await said(tools, "bash", command=f"{told} # pytest") == "[1]"
    assert await said(tools, "bash", command=f"{told} # pytest --cov=src") == "[]"
    assert await said(tools, "bash", command=told) == "[]"
    await use(tools, "write_file", path="src/test_a.py", content="import pytest_asyncio\n")
    assert await said(tools, "bash", command=f"{told} # pytest") == "[]"


async def test_without_a_sandbox_nothing_is_run_and_it_is_flagged(
    tree: StageTree, writer: Team, tmp_path: Path
) -> None:
    sandbox = await Sandbox.open(Settings(home=tmp_path, bwrap=str(tmp_path / "absent")))
    assert not sandbox.available
    tools = {tool.name: tool for tool in stage_tools(writer, ToolContext(tree, sandbox, writer))}
    message = await use(tools, "bash", command=f"touch {tmp_path}/ran")
    assert str(message.content).startswith("error: ")
    assert message.artifact["sandbox_unavailable"] is True
    assert not (tmp_path / "ran").exists()


async def test_a_question_is_never_executed_as_a_tool(tools: dict[str, BaseTool]) -> None:
    with pytest.raises(AssertionError, match="belongs to the graph"):
        await use(tools, "request_clarification", target_team="checker", question="Which?")
