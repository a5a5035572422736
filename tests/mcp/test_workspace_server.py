"""The workspace over MCP: a server process of its own, real git, the official SDK's client."""

import subprocess
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.mcp.clients import HELLO, Client, Served, over_http, over_stdio
from workspace.projects import Workspace

PATCH = """\
--- a/README.md
+++ b/README.md
@@ -1 +1,2 @@
 # Shop
+Sells tools.
--- /dev/null
+++ b/src/till.py
@@ -0,0 +1 @@
+TOTAL = 0
"""


@pytest.fixture
async def project(workspace_server: Served, tmp_path: Path) -> str:
    """A project with a README."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "README.md").write_text("# Shop\n")
    (source / ".gitignore").write_text("*.log\n")
    (source / "link").symlink_to("/etc/passwd")
    run = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*run, *arguments], cwd=source, check=True)
    name = f"shop-{uuid4().hex[:8]}"
    await Workspace(workspace_server.settings).project(name, source=source)
    return name


async def _sandbox(client: Client, project: str) -> str:
    made = await client.call("create_sandbox", project=project)
    return made["sandbox"]


def _original(served: Served, project: str, path: str = "README.md") -> str:
    repository = served.settings.home / "projects" / project / "repository"
    return (repository / path).read_text()


async def test_a_sandbox_is_read_written_compared_and_taken_back(
    workspace_server: Served, project: str
) -> None:
    async with over_http(workspace_server) as client:
        sandbox = await _sandbox(client, project)
        listed = await client.call("list_files", sandbox=sandbox)
        assert listed["files"] == [".gitignore", "README.md"]
        read = await client.call("read_file", sandbox=sandbox, path="README.md")
        assert read["text"] == "# Shop\n"

        written = await client.call(
            "write_file",
            sandbox=sandbox,
            path="README.md",
            content="# Store\n",
            expected_sha256=read["sha256"],
        )
        kept = await client.call("create_snapshot", sandbox=sandbox, message="renamed")
        difference = await client.call("diff", sandbox=sandbox)
        assert "+# Store" in difference["diff"]

        back = await client.call("restore_snapshot", sandbox=sandbox, snapshot=written["snapshot_before"])
        assert (await client.call("read_file", sandbox=sandbox, path="README.md"))["text"] == "# Shop\n"
        assert back["snapshot_before"] == kept["snapshot"]
        await client.call("restore_snapshot", sandbox=sandbox, snapshot=kept["snapshot"])
        assert (await client.call("read_file", sandbox=sandbox, path="README.md"))["text"] == "# Store\n"
    assert _original(workspace_server, project) == "# Shop\n"


async def test_a_patch_is_applied_whole_and_can_be_undone(workspace_server: Served, project: str) -> None:
    async with over_http(workspace_server) as client:
        sandbox = await _sandbox(client, project)
        applied = await client.call("apply_patch", sandbox=sandbox, patch=PATCH)
        assert applied["changed"] == ["README.md", "src/till.py"]
        assert (await client.call("read_file", sandbox=sandbox, path="src/till.py"))["text"] == "TOTAL = 0\n"
        await client.call("restore_snapshot", sandbox=sandbox, snapshot=applied["snapshot_before"])
        assert "no file" in await client.refusal("read_file", sandbox=sandbox, path="src/till.py")


async def test_a_patch_that_does_not_apply_changes_nothing(workspace_server: Served, project: str) -> None:
    second_part_is_wrong = PATCH + "--- a/missing.txt\n+++ b/missing.txt\n@@ -1 +1 @@\n-a\n+b\n"
    async with over_http(workspace_server) as client:
        sandbox = await _sandbox(client, project)
        told = await client.refusal("apply_patch", sandbox=sandbox, patch=second_part_is_wrong)
        assert "patch-refused" in told
        assert "missing.txt" in told
        assert (await client.call("diff", sandbox=sandbox))["diff"] == ""


@pytest.mark.parametrize(
    "patch",
    [
        "--- /dev/null\n+++ b/../../evil\n@@ -0,0 +1 @@\n+x\n",
        "--- /dev/null\n+++ b//etc/evil\n@@ -0,0 +1 @@\n+x\n",
        "--- /dev/null\n+++ b/.git/hooks/post-commit\n@@ -0,0 +1 @@\n+x\n",
        "--- /dev/null\n+++ b/link/evil\n@@ -0,0 +1 @@\n+x\n",
        "diff --git a/way b/way\nnew file mode 120000\n--- /dev/null\n+++ b/way\n@@ -0,0 +1 @@\n"
        "+/etc/passwd\n\\ No newline at end of file\n",
        "diff --git a/sub b/sub\nnew file mode 160000\n--- /dev/null\n+++ b/sub\n@@ -0,0 +1 @@\n"
        "+Subproject commit 4174a80000000000000000000000000000000000\n",
        "diff --git a/big b/big\nnew file mode 100644\nGIT binary patch\nliteral 1\nIcmZQz\n\n",
        "--- /dev/null\n+++ b/debug.log\n@@ -0,0 +1 @@\n+x\n",
        "no patch at all",
        "",
    ],
    ids=[
        "dots",
        "absolute",
        "git",
        "through-a-link",
        "link",
        "submodule",
        "binary",
        "ignored",
        "none",
        "empty",
    ],
)
async def test_a_hostile_patch_is_refused(workspace_server: Served, project: str, patch: str) -> None:
    async with over_http(workspace_server) as client:
        sandbox = await _sandbox(client, project)
        told = await client.refusal("apply_patch", sandbox=sandbox, patch=patch)
        assert "-refused: " in told
        assert (await client.call("diff", sandbox=sandbox))["diff"] == ""


@pytest.mark.parametrize(
    "path",
    ["../README.md", "a/../../x", "/etc/passwd", ".git/config", "a/.GIT/hooks/x", "link", "bad\nname", ""],
)
async def test_a_path_outside_the_worktree_is_an_error(
    workspace_server: Served, project: str, path: str
) -> None:
    async with over_http(workspace_server) as client:
        sandbox = await _sandbox(client, project)
        assert "path-refused" in await client.refusal("read_file", sandbox=sandbox, path=path)
        assert "path-refused" in await client.refusal("write_file", sandbox=sandbox, path=path, content="x")


async def test_an_original_can_be_read_and_never_written(workspace_server: Served, project: str) -> None:
    async with over_http(workspace_server) as client:
        assert (await client.call("read_file", sandbox=project, path="README.md"))["text"] == "# Shop\n"
        assert "README.md" in (await client.call("list_files", sandbox=project, pattern="*.md"))["files"]
        for tool, arguments in {
            "write_file": {"path": "README.md", "content": "mine"},
            "apply_patch": {"patch": PATCH},
            "create_snapshot": {},
            "restore_snapshot": {"snapshot": "0" * 40},
            "remove_sandbox": {},
        }.items():
            assert "original-read-only" in await client.refusal(tool, sandbox=project, **arguments)
        assert "path-refused" in await client.refusal("read_file", sandbox=project, path="../../x")
    assert _original(workspace_server, project) == "# Shop\n"


@pytest.mark.parametrize(
    "sandbox", ["{}/sandbox-0000", "nowhere", "nowhere/sandbox-1", "../x", "{}/../x", "{}/"]
)
async def test_an_unknown_sandbox_is_said_to_be_unknown(
    workspace_server: Served, project: str, sandbox: str
) -> None:
    async with over_http(workspace_server) as client:
        told = await client.refusal("read_file", sandbox=sandbox.format(project), path="README.md")
        assert "sandbox-unknown" in told
    assert not (workspace_server.settings.home / "projects" / "nowhere").exists()


async def test_a_snapshot_of_another_sandbox_is_not_restored(workspace_server: Served, project: str) -> None:
    async with over_http(workspace_server) as client:
        one, other = await _sandbox(client, project), await _sandbox(client, project)
        await client.call("write_file", sandbox=one, path="a", content="a")
        foreign = await client.call("create_snapshot", sandbox=one)
        for snapshot in (foreign["snapshot"], "main", "HEAD~1", "--all"):
            told = await client.refusal("restore_snapshot", sandbox=other, snapshot=snapshot)
            assert "snapshot-unknown" in told


async def test_a_write_from_a_stale_read_is_refused(workspace_server: Served, project: str) -> None:
    async with over_http(workspace_server) as client:
        sandbox = await _sandbox(client, project)
        read = await client.call("read_file", sandbox=sandbox, path="README.md")
        await client.call("write_file", sandbox=sandbox, path="README.md", content="# Theirs\n")
        stale = {"sandbox": sandbox, "path": "README.md", "content": "# Mine\n"}
        assert "stale-read" in await client.refusal("write_file", expected_sha256=read["sha256"], **stale)
        assert "stale-read" in await client.refusal("write_file", expected_sha256="", **stale)
        assert (await client.call("read_file", sandbox=sandbox, path="README.md"))["text"] == "# Theirs\n"


async def test_too_much_is_refused_and_the_server_goes_on(workspace_server: Served, project: str) -> None:
    async with over_http(workspace_server) as client:
        sandbox = await _sandbox(client, project)
        big = "x" * 2_000_001
        assert "file-too-big" in await client.refusal("write_file", sandbox=sandbox, path="big", content=big)
        assert "patch-refused" in await client.refusal("apply_patch", sandbox=sandbox, patch=big)
        assert "path-refused" in await client.refusal(
            "write_file", sandbox=sandbox, path="a.log", content="x"
        )
        await client.call("write_file", sandbox=sandbox, path="wide", content="x" * 1_000_000)
        part = await client.call("read_file", sandbox=sandbox, path="wide")
        assert part["truncated"]
        assert len(part["text"]) == 200_000
    assert workspace_server.post(HELLO | {"more": "x" * 5_000_000}, token=workspace_server.token) == 413
    assert workspace_server.post(HELLO, token=workspace_server.token) == 200


async def test_a_removed_sandbox_is_gone_with_its_snapshots(workspace_server: Served, project: str) -> None:
    async with over_http(workspace_server) as client:
        sandbox = await _sandbox(client, project)
        await client.call("write_file", sandbox=sandbox, path="a", content="a")
        await client.call("create_snapshot", sandbox=sandbox)
        await client.call("remove_sandbox", sandbox=sandbox)
        assert "sandbox-unknown" in await client.refusal("diff", sandbox=sandbox)
        listed = (await client.call("list_sandboxes"))["result"]
        assert sandbox not in [found["sandbox"] for found in listed]
    repository = workspace_server.settings.home / "projects" / project / "repository"
    refs = subprocess.run(["git", "for-each-ref"], cwd=repository, capture_output=True, text=True, check=True)
    assert "refs/factory/mcp" not in refs.stdout


async def test_over_stdio_a_sandbox_outlives_the_server_and_has_one_server_at_a_time(
    workspace_server: Served, project: str, tmp_path: Path
) -> None:
    async with over_http(workspace_server) as client:
        busy = await _sandbox(client, project)
        async with over_stdio(["mcp", "workspace"], workspace_server.env, tmp_path) as other:
            names = {tool.name for tool in (await other.session.list_tools()).tools}
            assert {"create_sandbox", "apply_patch", "restore_snapshot", "diff"} <= names
            assert "sandbox-busy" in await other.refusal("write_file", sandbox=busy, path="a", content="a")
            own = await _sandbox(other, project)
            await other.call("write_file", sandbox=own, path="notes.md", content="kept")
        assert (await client.call("read_file", sandbox=own, path="notes.md"))["text"] == "kept"


def test_nobody_gets_in_without_the_token(workspace_server: Served) -> None:
    assert workspace_server.post(HELLO) == 401
    assert workspace_server.post(HELLO, token="wrong") == 401
    assert httpx.get(workspace_server.url, timeout=30).status_code == 401
    assert httpx.delete(f"{workspace_server.url}?token=%C3%A9", timeout=30).status_code == 401
    assert workspace_server.post(HELLO, token=workspace_server.token) == 200


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Origin", "https://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "http://127.0.0.1:1", 403),
        ("Host", "evil.example", 421),
        ("Host", "127.0.0.1.evil.example", 421),
        ("Host", "localhost:1", 421),
    ],
)
def test_a_page_elsewhere_gets_nothing_even_with_the_token(
    workspace_server: Served, header: str, value: str, status: int
) -> None:
    given = {header: value}
    assert workspace_server.post(HELLO, given, token=workspace_server.token) == status


def test_its_own_origin_may_ask(workspace_server: Served) -> None:
    origin = workspace_server.url.removesuffix("/mcp")
    assert workspace_server.post(HELLO, {"Origin": origin}, token=workspace_server.token) == 200
