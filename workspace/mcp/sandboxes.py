"""Sandboxes: worktrees of a project, with snapshots, for clients outside. Nothing is ever merged from one.

A target is `PROJECT` (the original: what `main` has, read only) or `PROJECT/SANDBOX`. The whole content of a
sandbox is always in its snapshots or one snapshot away from it: what git would ignore cannot be written.
"""

import asyncio
import fcntl
import os
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from core import clock
from core.settings import Settings
from workspace.beneath import parts_of
from workspace.errors import (
    FileMissing,
    FileTooBig,
    GitFailed,
    OriginalReadOnly,
    PathRefused,
    SandboxBusy,
    SandboxUnknown,
    SnapshotUnknown,
    StaleRead,
    TooManySandboxes,
)
from workspace.files import LARGEST, matcher
from workspace.git import Git
from workspace.inventory import Limits
from workspace.mcp.answers import (
    MOST_CHARS,
    MOST_LINES,
    Difference,
    FileList,
    FileText,
    Restored,
    SandboxInfo,
    Snapshot,
    Written,
    part_of,
    sha256,
)
from workspace.mcp.opened import OWNER, Opened
from workspace.mcp.patching import patched
from workspace.projects import Workspace
from workspace.repository import Repository

MOST_SANDBOXES = 32
"""Open sandboxes a project may have."""
MOST_LISTED = 5_000
"""Paths that a list shows."""

_TARGET = re.compile(r"([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:/(sandbox-[0-9a-z]{1,40}))?")


class Sandboxes:
    """The sandboxes of one factory home."""

    def __init__(self, settings: Settings) -> None:
        self._workspace = Workspace(settings)
        self._claims = settings.home / "mcp"
        self._open: dict[str, Opened] = {}
        self._opening = asyncio.Lock()

    def close(self) -> None:
        """Let other processes work in the sandboxes that this one had taken. They stay."""
        for opened in self._open.values():
            os.close(opened.claim)
        self._open.clear()

    async def create(self, project: str, revision: str = "main") -> SandboxInfo:
        """A new sandbox with what `revision` of the project has."""
        repository = await self._repository(project)
        async with self._opening:
            if len(await repository.open_stages(OWNER)) >= MOST_SANDBOXES:
                raise TooManySandboxes(
                    f"{project} has {MOST_SANDBOXES} sandboxes",
                    untouched="None was made",
                    todo="Remove one with remove_sandbox",
                )
            try:
                await repository.tree(revision)
            except GitFailed as failure:
                raise SnapshotUnknown(
                    f"{project} has no revision {revision[:80]!a}", untouched="No sandbox was made"
                ) from failure
            stage = clock.new_id("sandbox")
            claim = self._claim(project, stage)
            tree = await repository.open_stage(OWNER, stage, base=revision)
            opened = Opened(repository, tree, Git(repository.path / ".git", work_tree=tree.path), claim)
            self._open[f"{project}/{stage}"] = opened
        return await self._info(f"{project}/{stage}", opened)

    async def listed(self) -> list[SandboxInfo]:
        """The projects' sandboxes that are open; those of other servers without their snapshots."""
        found: list[SandboxInfo] = []
        for project in self._workspace.names():
            repository = await self._workspace.project(project)
            for stage in await repository.open_stages(OWNER):
                name = f"{project}/{stage}"
                try:
                    async with self._taken(name) as opened:
                        found.append(await self._info(name, opened))
                except SandboxBusy:
                    found.append(SandboxInfo(sandbox=name, project=project, base=""))
        return found

    def projects(self) -> Sequence[str]:
        """The projects that there are."""
        return self._workspace.names()

    async def remove(self, sandbox: str) -> None:
        """Remove a sandbox with all its snapshots."""
        async with self._taken(sandbox) as opened:
            for commit in await opened.kept():
                await opened.git("update-ref", "-d", f"{opened.refs}/{commit}")
            await opened.repository.close_stage(opened.tree)
            self._open.pop(sandbox)
            self._lock_file(*sandbox.split("/")).unlink(missing_ok=True)
            os.close(opened.claim)

    async def files(self, target: str, pattern: str = "**") -> FileList:
        """The files that match a glob."""
        if original := await self._original(target):
            matches = matcher(pattern)
            paths = [path for path in await original.files("main") if matches(path)]
        else:
            async with self._taken(target) as opened:
                paths = await asyncio.to_thread(opened.tree.files.list, pattern)
        return FileList(files=paths[:MOST_LISTED], total=len(paths))

    async def read(self, target: str, path: str, first_line: int = 1, lines: int = MOST_LINES) -> FileText:
        """A text file from `first_line` on."""
        if original := await self._original(target):
            parts_of(path)
            found = await original.read("main", path)
            if found is None:
                raise FileMissing(f"there is no file {path}")
            if len(found) > LARGEST:
                raise FileTooBig(f"{path} has {len(found)} characters; {LARGEST} may be read")
            text = found
        else:
            async with self._taken(target) as opened:
                text = await asyncio.to_thread(opened.tree.files.read, path)
        return part_of(path, text, first_line, lines)

    async def write(self, sandbox: str, path: str, text: str, expectedsha256: str | None = None) -> Written:
        """Write a whole file, after a snapshot of what is there.

        With `expectedsha256`, only where the file still has that content (an empty string: where there is
        none); raises StaleRead.
        """
        async with self._taken(sandbox) as opened:
            parts_of(path)
            files = opened.tree.files
            there = await asyncio.to_thread(files.exists, path)
            if expectedsha256 is not None:
                now = sha256(await asyncio.to_thread(files.read_bytes, path)) if there else ""
                if now != expectedsha256.lower():
                    raise StaleRead(
                        f"{path} is not what was read: its sha256 is {now or 'none: there is no such file'}",
                        untouched="Nothing was written",
                        todo="Read it again",
                    )
            if not there:
                await self._refuse_ignored(opened, path)
            before = await opened.snapshot(f"before {path} is written")
            await asyncio.to_thread(files.write, path, text)
            return Written(changed=[path], snapshot_before=before)

    async def patch(self, sandbox: str, patch: str) -> Written:
        """Apply a unified diff, all of it or nothing, after a snapshot of what is there."""
        async with self._taken(sandbox) as opened:
            before = await opened.snapshot("before a patch")
            tree, changed = await patched(opened.git, before, patch, Limits())
            if not changed:
                return Written(changed=[], snapshot_before=before, snapshot=before)
            for path in changed:
                await self._refuse_ignored(opened, path, unless_in=before)
            commit = (await opened.git("commit-tree", tree, "-p", before, "-m", "A patch")).text
            await opened.git("update-ref", f"{opened.refs}/{commit}", commit)
            await opened.tree.restore(commit)
            return Written(changed=changed, snapshot_before=before, snapshot=commit)

    async def snapshot(self, sandbox: str, message: str) -> Snapshot:
        """Record what is there now; the last snapshot again where nothing changed."""
        async with self._taken(sandbox) as opened:
            return Snapshot(snapshot=await opened.snapshot(message[:1000] or "snapshot"))

    async def restore(self, sandbox: str, snapshot: str) -> Restored:
        """Make the sandbox what it was at a snapshot, after a snapshot of what is there."""
        async with self._taken(sandbox) as opened:
            commit = await opened.known(snapshot)
            before = await opened.snapshot("before a restore")
            await opened.tree.restore(commit)
            return Restored(snapshot=commit, snapshot_before=before)

    async def diff(self, sandbox: str, since: str | None = None, until: str | None = None) -> Difference:
        """What changed from a snapshot (the base if none is given) to another (what is there now)."""
        async with self._taken(sandbox) as opened:
            a = opened.tree.base if since is None else await opened.known(since)
            b = await opened.snapshot("to compare") if until is None else await opened.known(until)
            text = await opened.repository.diff(a, b)
        return Difference(diff=text[:MOST_CHARS], truncated=len(text) > MOST_CHARS)

    async def _info(self, name: str, opened: Opened) -> SandboxInfo:
        project = name.partition("/")[0]
        return SandboxInfo(
            sandbox=name, project=project, base=opened.tree.base, snapshots=await opened.kept()
        )

    async def _repository(self, project: str) -> Repository:
        names = self._workspace.names()
        if project not in names:
            known = ", ".join(names[:50]) or "there is none yet"
            raise SandboxUnknown(f"There is no project {project[:80]!a}", todo=f"Projects: {known}")
        return await self._workspace.project(project)

    async def _original(self, target: str) -> Repository | None:
        """The project's repository where `target` is a project and no sandbox."""
        project, stage = _parts(target)
        return None if stage else await self._repository(project)

    @asynccontextmanager
    async def _taken(self, sandbox: str) -> AsyncGenerator[Opened]:
        """The sandbox, for one request."""
        project, stage = _parts(sandbox)
        repository = await self._repository(project)
        if not stage:
            raise OriginalReadOnly(
                f"{project} is an original, and read only",
                untouched="Nothing changed",
                todo="Make a sandbox of it with create_sandbox, and work there",
            )
        async with self._opening:
            opened = self._open.get(sandbox) or await self._take_up(repository, sandbox, stage)
        async with opened.turn:
            if self._open.get(sandbox) is not opened:
                raise _unknown(sandbox)
            yield opened

    async def _take_up(self, repository: Repository, sandbox: str, stage: str) -> Opened:
        """A sandbox that an earlier server, or another one, made."""
        if stage not in await repository.open_stages(OWNER):
            raise _unknown(sandbox)
        claim = self._claim(repository.name, stage)
        tree = await repository.open_stage(OWNER, stage)
        opened = Opened(repository, tree, Git(repository.path / ".git", work_tree=tree.path), claim)
        self._open[sandbox] = opened
        return opened

    def _lock_file(self, project: str, stage: str) -> Path:
        return self._claims / f"{project}.{stage}.lock"

    def _claim(self, project: str, stage: str) -> int:
        self._claims.mkdir(parents=True, exist_ok=True)
        claim = os.open(self._lock_file(project, stage), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(claim)
            raise SandboxBusy(
                f"Another MCP server works in {project}/{stage}",
                untouched="Nothing changed",
                todo="Use that server, or end it",
            ) from None
        return claim

    async def _refuse_ignored(self, opened: Opened, path: str, *, unless_in: str = "") -> None:
        if unless_in and (await opened.git("ls-tree", "-z", "--name-only", unless_in, path)).names:
            return
        # 128: the path leads through a link, which is refused for that where it is opened.
        found = await opened.git(
            *("check-ignore", "-q", "--no-index", "--", f"./{path}"),
            ok=(0, 1, 128),
            environment={
                "GIT_LITERAL_PATHSPECS": "0"
            },  # this command takes every path literally, and no such wish
        )
        if found.code == 0:
            raise PathRefused(
                f"{path} is one of the files that the project's git ignores: no snapshot would hold it",
                untouched="Nothing changed",
                todo="Use another path, or change .gitignore",
            )


def _parts(target: str) -> tuple[str, str]:
    """Project and stage of a target; an empty stage where it names a project."""
    matched = _TARGET.fullmatch(target)
    if matched is None:
        raise SandboxUnknown(
            f"{target[:80]!a} names no sandbox", todo="A sandbox is named PROJECT/SANDBOX; see list_sandboxes"
        )
    return matched[1], matched[2] or ""


def _unknown(sandbox: str) -> SandboxUnknown:
    return SandboxUnknown(f"There is no sandbox {sandbox}", todo="See list_sandboxes")
