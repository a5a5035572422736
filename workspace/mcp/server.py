"""The tools of the workspace's MCP server. What they do stands in `sandboxes`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from mcp.server.fastmcp import FastMCP
from mcp.types import ToolAnnotations
from pydantic import Field

from workspace.mcp.answers import (
    MOST_LINES,
    Difference,
    FileList,
    FileText,
    Restored,
    SandboxInfo,
    Snapshot,
    Written,
)
from workspace.mcp.sandboxes import Sandboxes
from workspace.mcp.telling import told

NAME = "factory-workspace"
INSTRUCTIONS = (
    "Work on a project of the factory in a sandbox: a worktree of its own, with snapshots. Make one with "
    "create_sandbox; its name (PROJECT/SANDBOX) is the `sandbox` of every other tool. A project's own name "
    "stands for the original, which can be listed and read and never changed. Paths are relative to the "
    "worktree. Every change can be undone with restore_snapshot. Nothing is merged from a sandbox, and "
    "nothing is executed in it."
)

Sandbox = Annotated[str, Field(description="PROJECT/SANDBOX, as create_sandbox gave it.")]
Target = Annotated[str, Field(description="PROJECT/SANDBOX, or PROJECT for the read-only original.")]
Path = Annotated[str, Field(description="A file, relative to the root of the worktree.")]

_READS = ToolAnnotations(readOnlyHint=True, openWorldHint=False)
_ADDS = ToolAnnotations(readOnlyHint=False, destructiveHint=False, openWorldHint=False)
_CHANGES = ToolAnnotations(readOnlyHint=False, destructiveHint=True, openWorldHint=False)


def build(sandboxes: Sandboxes) -> FastMCP[None]:
    """The server, on these sandboxes."""

    tools = _Tools(sandboxes)
    server: FastMCP[None] = FastMCP(NAME, instructions=INSTRUCTIONS, log_level="WARNING")
    for tool, hints in (
        (tools.create_sandbox, _ADDS),
        (tools.list_sandboxes, _READS),
        (tools.list_files, _READS),
        (tools.read_file, _READS),
        (tools.write_file, _CHANGES),
        (tools.apply_patch, _CHANGES),
        (tools.create_snapshot, _ADDS),
        (tools.restore_snapshot, _CHANGES),
        (tools.diff, _READS),
        (tools.remove_sandbox, _CHANGES),
    ):
        server.add_tool(told(tool), annotations=hints)
    return server


@asynccontextmanager
async def opened(sandboxes: Sandboxes) -> AsyncGenerator[FastMCP[None]]:
    """The server, while it is served; afterwards other processes may have its sandboxes."""
    try:
        yield build(sandboxes)
    finally:
        sandboxes.close()


class _Tools:
    """Each docstring is what a client reads about the tool."""

    def __init__(self, sandboxes: Sandboxes) -> None:
        self._sandboxes = sandboxes

    async def create_sandbox(
        self,
        project: Annotated[str, Field(description="The project's name.")],
        revision: Annotated[str, Field(description="A branch, tag or commit of the project.")] = "main",
    ) -> SandboxInfo:
        """Make a sandbox: a worktree of its own with what a revision of the project has."""
        return await self._sandboxes.create(project, revision)

    async def list_sandboxes(self) -> list[SandboxInfo]:
        """The sandboxes that there are, with their snapshots."""
        return await self._sandboxes.listed()

    async def list_files(
        self,
        sandbox: Target,
        pattern: Annotated[
            str, Field(description="A glob such as src/**/*.py; ** crosses folders, * does not.")
        ] = "**",
    ) -> FileList:
        """List the files that match a glob."""
        return await self._sandboxes.files(sandbox, pattern)

    async def read_file(
        self,
        sandbox: Target,
        path: Path,
        first_line: Annotated[int, Field(ge=1, description="Where to begin, from 1.")] = 1,
        lines: Annotated[int, Field(ge=1, le=MOST_LINES, description="How many lines.")] = MOST_LINES,
    ) -> FileText:
        """Read a text file, or a part of it."""
        return await self._sandboxes.read(sandbox, path, first_line, lines)

    async def write_file(
        self,
        sandbox: Sandbox,
        path: Path,
        content: Annotated[str, Field(description="The whole new content.")],
        expected_sha256: Annotated[
            str | None,
            Field(
                description="The sha256 that read_file gave: write only if the file is still that. "
                "An empty string: only if there is no such file."
            ),
        ] = None,
    ) -> Written:
        """Write a whole file. A snapshot of what was there is taken before."""
        return await self._sandboxes.write(sandbox, path, content, expected_sha256)

    async def apply_patch(
        self,
        sandbox: Sandbox,
        patch: Annotated[str, Field(description="A unified diff with a/ and b/ paths, as git makes it.")],
    ) -> Written:
        """Apply a patch: all of it, or nothing. A snapshot of what was there is taken before."""
        return await self._sandboxes.patch(sandbox, patch)

    async def create_snapshot(
        self, sandbox: Sandbox, message: Annotated[str, Field(description="What it holds.")] = ""
    ) -> Snapshot:
        """Record what the sandbox holds now."""
        return await self._sandboxes.snapshot(sandbox, message)

    async def restore_snapshot(
        self, sandbox: Sandbox, snapshot: Annotated[str, Field(description="A snapshot of this sandbox.")]
    ) -> Restored:
        """Make the sandbox what it was at a snapshot. What it held until now is a snapshot too."""
        return await self._sandboxes.restore(sandbox, snapshot)

    async def diff(
        self,
        sandbox: Sandbox,
        since: Annotated[str | None, Field(description="A snapshot. [default: the base]")] = None,
        until: Annotated[str | None, Field(description="A snapshot. [default: what is there now]")] = None,
    ) -> Difference:
        """What changed in the sandbox, as a patch."""
        return await self._sandboxes.diff(sandbox, since, until)

    async def remove_sandbox(self, sandbox: Sandbox) -> str:
        """Remove a sandbox with all its snapshots. What was not taken out of it is lost."""
        await self._sandboxes.remove(sandbox)
        return f"{sandbox} is gone"
