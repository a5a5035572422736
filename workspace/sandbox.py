"""Runs commands that a model wrote where they can harm nothing but their worktree; else not at all."""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.errors import FactoryError
from core.settings import Settings
from workspace import cgroups, footprint, inventory, selftest, unconfined
from workspace.confinement import Allowance, Confinement, find_bwraps, shell
from workspace.errors import PathRefused, SandboxUnavailable, WorkspaceError
from workspace.launch import Started, launch, readable
from workspace.output import Bounded

EndedBy = Literal["exit", "timeout", "output", "disk", "memory"]
"""Why a command ended: by itself, or by the limit that it passed."""

POLICIES = ("none", "read", "build", "test")
"""What a team may run: nothing; commands that write nothing; commands that write in the worktree."""

_LEAST_FREE = 256_000_000
"""Bytes that must stay free on the disk of the worktree."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What became of a command."""

    exit_code: int
    """Its exit code; 128 and the number of the signal where a signal ended it."""
    output: str
    """Standard output and error as they came, the middle left out where it is long, no terminal escapes."""
    truncated: bool
    seconds: float
    ended_by: EndedBy


@dataclass
class Sandbox:
    """A place to run commands in. It proved itself when it was opened, or it runs nothing."""

    available: bool
    """Whether it can run commands at all."""
    unsafe: bool
    """Whether commands run without isolation, because the operator said so."""
    protections: Mapping[str, bool | None]
    """Each protection by name: proved, failed, or None where this machine cannot have it."""
    why_not: str
    """Why commands are not run, or not confined; empty where all is well."""
    allowance: Allowance = field(default_factory=Allowance)
    _confinement: Confinement | None = field(default=None, repr=False)
    groups: cgroups.Parents | None = None
    """Where control groups can be made."""

    @classmethod
    async def open(cls, settings: Settings) -> "Sandbox":
        """Find bubblewrap and try every protection. Never raises: `available` and `why_not` tell."""
        why, held = "", dict[str, bool | None].fromkeys(selftest.ESSENTIAL, False)
        try:
            for bwrap in await asyncio.to_thread(find_bwraps, settings.bwrap):
                sandbox, failure = await cls._tried(Confinement(bwrap, settings.home))
                if not failure:
                    return sandbox
                why, held = why or failure, dict(sandbox.protections) or held
        except (FactoryError, OSError) as error:
            why = str(error)
        if settings.unsafe_no_sandbox:
            return cls(True, True, held, why)
        return cls(False, False, held, why)

    @classmethod
    async def _tried(cls, confinement: Confinement) -> "tuple[Sandbox, str]":
        """A sandbox of this kind and what is wrong with it; an old bubblewrap may lack what we need."""
        groups = await asyncio.to_thread(cgroups.find)
        sandbox = cls(True, False, {}, "", _confinement=confinement, groups=groups)
        try:
            await asyncio.to_thread(confinement.prepare)
            sandbox.protections = await selftest.protections(sandbox, confinement.home)
        except (FactoryError, OSError) as error:
            return sandbox, str(error)
        failed = [name for name in selftest.ESSENTIAL if not sandbox.protections.get(name)]
        return sandbox, f"the sandbox does not hold: {', '.join(failed)}" if failed else ""

    async def run(
        self,
        command: str | Sequence[str],
        tree: Path,
        *,
        policy: str = "test",
        timeout: float = 120,
        writable: bool = True,
        environment: Mapping[str, str] | None = None,
        allowance: Allowance | None = None,
    ) -> Execution:
        """Run a shell command line, or a program with arguments, in a worktree; wait until all of it is gone.

        The command sees the worktree, the system's programs and this Python, all but the worktree read-only,
        and no network. `policy` "read", or `writable=False`, makes the worktree read-only too. When this
        returns, no process that the command started is left. Raises SandboxUnavailable where no sandbox
        holds, and PathRefused for a folder that is a repository.
        """
        if not self.available:
            raise SandboxUnavailable(
                f"Code is not run: {self.why_not}",
                todo="Install bubblewrap, or accept the risk with --unsafe-no-sandbox",
            )
        if policy not in POLICIES or policy == "none":
            raise WorkspaceError(f"the policy {policy!r} lets no command run")
        tree = await asyncio.to_thread(tree.resolve)
        if await asyncio.to_thread((tree / ".git").exists):
            raise PathRefused(f"{tree.name} is a repository, not a worktree", untouched="Nothing was run")
        limits = allowance or self.allowance
        words = shell(command)
        if self._confinement is None:
            started = await unconfined.launch(words, tree, limits, timeout, environment or {})
        else:
            started = await launch(
                self._confinement,
                self.groups,
                words,
                tree,
                limits,
                timeout=timeout,
                writable=writable and policy != "read",
                environment=environment or {},
            )
        return await _watch(started, tree, limits, timeout)

    def where(self, tree: Path) -> str:
        """The path at which commands see the worktree."""
        return str(tree) if self._confinement is None else self._confinement.place


async def _watch(started: Started, tree: Path, limits: Allowance, timeout: float) -> Execution:
    """Read what the command prints until it ends or passes a limit, then see that nothing of it is left."""
    begun = asyncio.get_running_loop().time()
    output, too_much = Bounded(limits.kept_output), asyncio.Event()
    reading = asyncio.create_task(_read(started.output, output, limits.most_output, too_much))
    # In the order in which they count where two happen at once.
    waiting: dict[asyncio.Task[object], EndedBy] = {
        asyncio.create_task(started.process.wait()): "exit",
        asyncio.create_task(too_much.wait()): "output",
        asyncio.create_task(_guard_disk(tree, limits)): "disk",
    }
    if not started.memory_is_bounded:
        guard = _guard_memory(started.process.pid, limits.memory)
        waiting[asyncio.create_task(guard)] = "memory"
    try:
        done, _ = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        ended: EndedBy = "timeout"
        for task, why in reversed(waiting.items()):
            ended = why if task in done else ended
    finally:
        for task in waiting:
            task.cancel()
        out_of_memory = await asyncio.shield(started.end())
        # All writers are dead, so the end of the output is near; unconfined, one may have got away.
        await asyncio.wait({reading}, timeout=1)
        reading.cancel()
        await asyncio.gather(reading, *waiting, return_exceptions=True)
        os.close(started.output)
    code = started.process.returncode
    code = -1 if code is None else code
    return Execution(
        exit_code=128 - code if code < 0 else code,
        output=output.text,
        truncated=output.truncated,
        seconds=asyncio.get_running_loop().time() - begun,
        ended_by="memory" if ended == "exit" and out_of_memory else ended,
    )


async def _read(source: int, output: Bounded, most: int, too_much: asyncio.Event) -> None:
    """Read to the end; what comes after too much is thrown away."""
    while True:
        await readable(source)
        if not (chunk := os.read(source, 1 << 16)):
            return
        if output.total <= most:
            output.add(chunk)
        else:
            too_much.set()


async def _guard_disk(tree: Path, limits: Allowance) -> None:
    """Returns when the worktree, or what it does to the disk, is too big."""
    pause = 0.1
    most = inventory.Limits(limits.tree_files, limits.tree_bytes)
    while True:
        await asyncio.sleep(pause)
        begun = asyncio.get_running_loop().time()
        if await asyncio.to_thread(_too_big, tree, most):
            return
        # A big tree takes long to walk: spend at most a tenth of the time on it.
        pause = max(0.1, 10 * (asyncio.get_running_loop().time() - begun))


async def _guard_memory(process: int, most: int) -> None:
    """Returns when the command's processes together hold too much; slower than the kernel would be."""
    pause = 0.1
    while True:
        await asyncio.sleep(pause)
        begun = asyncio.get_running_loop().time()
        if await asyncio.to_thread(footprint.resident, process) > most:
            return
        pause = max(0.1, 10 * (asyncio.get_running_loop().time() - begun))


def _too_big(tree: Path, most: inventory.Limits) -> bool:
    files = size = 0
    try:
        for found in inventory.walk(tree):
            files += 1
            size += found.status.st_blocks * 512
            inventory.check(files, size, most)
    except WorkspaceError:
        return True
    except OSError:  # closed to us by the command itself
        return False
    return shutil.disk_usage(tree).free < _LEAST_FREE


__all__ = ["Allowance", "Execution", "Sandbox"]
