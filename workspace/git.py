"""One git command at a time, on a repository of ours, whatever the content of the worktree says.

The repository and the worktree are always named by us, never found: a `.git` in a worktree means nothing.
No configuration but ours is read, so hooks, filters, drivers and monitors that content asks for do not exist.
"""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from core import clock, faults, fencing
from core.processes import reap
from workspace.errors import DiskFull, GitFailed

_CONFIG: Mapping[str, str] = {
    # Programs that configuration could start.
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "core.editor": "false",
    "core.askPass": "",
    "credential.helper": "",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "checkout.workers": "0",  # one a processor: thousands of files cost the kernel seconds
    "submodule.recurse": "false",
    # What is recorded is byte for byte what lies there.
    "core.attributesFile": "/dev/null",
    "core.autocrlf": "false",
    "core.symlinks": "true",
    "core.fileMode": "true",
    "core.ignoreCase": "false",
    "core.protectNTFS": "true",
    "core.protectHFS": "true",
    # The index in its plainest form: we read it ourselves (index.py).
    "index.version": "2",
    "core.splitIndex": "false",
    "core.untrackedCache": "false",
    # A merge that gives the same tree in any order guesses no renames.
    "merge.renames": "false",
    "merge.directoryRenames": "false",
    "diff.renames": "false",
    "safe.directory": "*",
}
_FLAGS: tuple[str, ...] = tuple(part for key, value in _CONFIG.items() for part in ("-c", f"{key}={value}"))

IDENTITY = ("Factory", "factory@localhost")
"""Name and address that every commit of the factory carries."""

# Where a worktree and its repository agree on bytes: these outrank every `.gitattributes` in the content.
ATTRIBUTES = "* -text -ident -filter -working-tree-encoding !eol\n"

# Left behind by the tools that the checks run; never part of a product.
EXCLUDES = "\n".join(
    (
        "__pycache__/",
        "*.pyc",
        ".pytest_cache/",
        ".ruff_cache/",
        ".mypy_cache/",
        ".hypothesis/",
        ".coverage",
        ".coverage.*",
        ".venv/",
        "node_modules/",
        "*.egg-info/",
        "",
    )
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a git command said."""

    code: int
    out: bytes

    @property
    def text(self) -> str:
        """Its output without the newline at the end."""
        return self.out.decode("utf-8", "replace").strip()

    @property
    def names(self) -> list[str]:
        """Its output as a list of NUL-separated paths."""
        return [name for name in self.out.decode("utf-8", "surrogateescape").split("\0") if name]


@dataclass(frozen=True, slots=True)
class Git:
    """Runs git with an explicit repository, worktree and index."""

    git_dir: Path
    work_tree: Path | None = None
    index: Path | None = None
    lock: int | None = None
    """A lock's file descriptor that every command inherits, so that the kernel releases the lock only when
    the last command of a killed process is gone too."""

    def locked(self, lock: int) -> "Git":
        """The same, holding `lock`."""
        return replace(self, lock=lock)

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        name, address = IDENTITY
        date = f"@{int(clock.now().timestamp())} +0000"
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_DEFAULT_REF_FORMAT": "files",
            "GIT_DIR": str(self.git_dir),
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": address,
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_NAME": name,
            "GIT_COMMITTER_EMAIL": address,
            "GIT_COMMITTER_DATE": date,
        }
        if self.work_tree is not None:
            environment["GIT_WORK_TREE"] = str(self.work_tree)
        if self.index is not None:
            environment["GIT_INDEX_FILE"] = str(self.index)
        return environment | dict(extra)

    async def __call__(
        self,
        *arguments: str,
        stdin: bytes = b"",
        ok: Sequence[int] = (0,),
        config: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Answer:
        """Run one command and wait for it. Raises GitFailed where its exit code is not in `ok`."""
        faults.point("git")
        fencing.check()
        more = tuple(part for key, value in (config or {}).items() for part in ("-c", f"{key}={value}"))
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                *_FLAGS,
                *more,
                *arguments,
                # A pipe that the command never reads may be gone before we close it, which not every event
                # loop forgives.
                stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self.work_tree or self.git_dir.parent,
                env=self._environment(environment or {}),
                pass_fds=() if self.lock is None else (self.lock,),
                # Ctrl-C at a terminal is for the factory, which ends its commands itself: a git that dies of
                # it would be a failure of the stage that asked for it.
                process_group=0,
            )
        except FileNotFoundError as missing:
            if missing.filename != "git":  # the folder to run it in
                raise
            raise GitFailed("git is not installed", todo="Install git and try again") from missing
        try:
            out, err = await process.communicate(stdin or None)
        except BaseException:
            await _end(process)
            raise
        code = process.returncode if process.returncode is not None else -1
        if code not in ok:
            said = err.decode("utf-8", "replace").strip()[-2000:] or f"exit code {code}"
            if code == -signal.SIGXFSZ or "No space left on device" in said or "quota exceeded" in said:
                raise DiskFull(
                    f"The disk is full: git {arguments[0]} failed in {self.git_dir}",
                    untouched="What was committed before is whole",
                    todo="Free some space; a run that was working goes on with `factory resume`",
                )
            raise GitFailed(f"git {arguments[0]} failed: {said}")
        return Answer(code, out)

    @asynccontextmanager
    async def running(
        self, *arguments: str, feed: bool = False
    ) -> AsyncGenerator[asyncio.subprocess.Process]:
        """A command whose output is read as it comes, and that is fed where wanted; the block ends it."""
        process = await asyncio.create_subprocess_exec(
            "git",
            *_FLAGS,
            *arguments,
            stdin=asyncio.subprocess.PIPE if feed else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=self.work_tree or self.git_dir.parent,
            env=self._environment({}),
            process_group=0,
        )
        try:
            yield process
        finally:
            await _end(process)

    async def resolve(self, *revisions: str) -> list[str]:
        """The object ids of `revisions`; raises GitFailed where one does not exist."""
        return (await self("rev-parse", *revisions)).text.split("\n")

    async def find(self, revision: str) -> str | None:
        """The object id of `revision`, or None."""
        answer = await self("rev-parse", "--verify", "-q", revision, ok=(0, 1, 128))
        return answer.text if answer.code == 0 else None

    async def clear_stale_locks(self, *refs: str) -> None:
        """Remove lock files that a killed git left. Only for the holder of the lock that guards them."""
        stale = [self.git_dir / f"{ref}.lock" for ref in refs]
        if self.index is not None:
            stale.append(self.index.with_name(self.index.name + ".lock"))
        await asyncio.to_thread(lambda: [path.unlink(missing_ok=True) for path in stale])


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a git with all that it started, which would hold its pipes open; one that has ended stays so."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await reap(process)
