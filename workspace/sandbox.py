"""Runs commands that a model wrote where they can harm nothing but their worktree; else not at all."""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from core.errors import FactoryError
from core.settings import Settings
from workspace import egress, footprint, inventory, policies, relay, selftest
from workspace.allowance import Allowance
from workspace.bubblewrap import Bubblewrap
from workspace.confinement import find_bwraps, shell
from workspace.docker import Docker
from workspace.egress import Contact, Report
from workspace.errors import PathRefused, SandboxUnavailable, WorkspaceError
from workspace.output import Bounded
from workspace.policies import Policies, Policy
from workspace.started import Backend, Job, Started, readable
from workspace.unconfined import Unconfined

EndedBy = Literal["exit", "timeout", "output", "disk", "memory"]
"""Why a command ended: by itself, or by the limit that it passed."""

LIBRARIES = "/libraries"
"""Where a product's own dependencies are seen."""

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
    policies: Policies = field(default_factory=policies.shipped)
    """What commands may do, by name."""
    _backend: Backend = field(default_factory=Unconfined, repr=False)
    _home: Path = field(default=Path(), repr=False)
    _libraries: Path | None = field(default=None, repr=False)

    @classmethod
    async def open(cls, settings: Settings) -> "Sandbox":
        """Find what confines commands here and try every protection: `available` and `why_not` tell.

        Raises PoliciesInvalid for a bad file of policies, and nothing for a sandbox that does not work.
        """
        rules = await asyncio.to_thread(policies.load, settings)
        why, held = "", dict[str, bool | None].fromkeys(selftest.ESSENTIAL, False)
        try:
            for backend in await asyncio.to_thread(_backends, settings):
                sandbox = cls(True, False, {}, "", rules, backend, settings.home)
                failure = await sandbox._proved()
                if not failure:
                    return sandbox
                why, held = why or failure, dict(sandbox.protections) or held
        except (FactoryError, OSError) as error:
            why = str(error)
        if settings.unsafe_no_sandbox:
            return cls(True, True, held, why, rules, Unconfined(), settings.home)
        return cls(False, False, held, why, rules, Unconfined(), settings.home)

    async def _proved(self) -> str:
        """Try the backend; what is wrong with it: an old bubblewrap may lack what we need."""
        try:
            await self._backend.prepare()
            held = await selftest.protections(self, self._home)
        except (FactoryError, OSError) as error:
            return str(error)
        self.protections = {**held, **self._backend.bounds}
        failed = [name for name in selftest.ESSENTIAL if not held.get(name)]
        return f"the sandbox does not hold: {', '.join(failed)}" if failed else ""

    async def run(
        self,
        command: str | Sequence[str],
        tree: Path,
        *,
        policy: str = "test",
        team: str = "",
        timeout: float = 120,
        writable: bool = True,
        environment: Mapping[str, str] | None = None,
        allowance: Allowance | None = None,
        report: Report | None = None,
        shown: Mapping[str, Path] | None = None,
    ) -> Execution:
        """Run a shell command line, or a program with arguments, in a worktree; wait until all of it is gone.

        The command sees the worktree, the system's programs and this Python, all but the worktree read-only,
        and of the network what its policy lets it: nothing, or allowed hosts through a proxy that tells
        `report` of each. `policy` is what the team's file names; the operator's file may give `team` another
        one. `writable=False` makes the worktree read-only under any policy. `shown` are folders of the host
        that can be read there, by their path inside (`at` says where it is). When this returns, no process
        that the command started is left. Raises SandboxUnavailable where no sandbox holds, and PathRefused
        for a folder that is a repository.
        """
        if not self.available:
            raise SandboxUnavailable(
                f"Code is not run: {self.why_not}",
                todo="Install bubblewrap, or accept the risk with --unsafe-no-sandbox",
            )
        rules = self.policies.choose(policy, team)
        if rules is None or not rules.run:
            raise WorkspaceError(f"the policy {(rules.name if rules else policy)!r} lets no command run")
        limits = allowance or rules.allowance
        timeout = min(timeout, limits.seconds)
        job = Job(
            words=shell(command),
            tree=await asyncio.to_thread(_worktree, tree),
            allowance=limits,
            timeout=timeout,
            writable=writable and rules.writable,
            environment=self._environment(environment or {}),
            shown={**(shown or {}), **({LIBRARIES: self._libraries} if self._libraries else {})},
        )
        most = await asyncio.to_thread(_most, job.tree, limits)
        async with self._connected(job, rules, report or _nobody) as ready:
            return await _watch(await self._backend.launch(ready), ready.tree, limits, most, timeout)

    @asynccontextmanager
    async def _connected(self, job: Job, rules: Policy, report: Report) -> AsyncGenerator[Job]:
        """The job with the proxy that its policy gives it, for as long as it runs."""
        if rules.egress is None or self.unsafe:
            yield job
            return
        async with egress.proxy(rules.egress, self._home, report) as socket:
            yield replace(job, egress=socket, environment={**relay.ENVIRONMENT, **job.environment})

    def _environment(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """What the command finds in its environment: what is given, and where Python finds the libraries."""
        if self._libraries is None:
            return given
        paths = (given.get("PYTHONPATH"), self.at(LIBRARIES, self._libraries))
        return {**given, "PYTHONPATH": ":".join(path for path in paths if path)}

    def with_libraries(self, folder: Path | None) -> "Sandbox":
        """The same sandbox, in which Python finds what is installed in `folder`, to be read only."""
        return replace(self, _libraries=folder)

    @property
    def backend(self) -> str:
        """What confines commands, as the settings call it."""
        return self._backend.name

    def at(self, place: str, folder: Path) -> str:
        """The path at which commands see a folder that is shown at `place`."""
        return place if self._backend.place else str(folder)

    def where(self, tree: Path) -> str:
        """The path at which commands see the worktree."""
        return self._backend.place or str(tree)


def _backends(settings: Settings) -> list[Backend]:
    """What to try, in this order."""
    if settings.sandbox_backend == "docker":
        return [Docker(settings.sandbox_image, settings.sandbox_runtime, settings.home)]
    return [Bubblewrap(bwrap, settings.home) for bwrap in find_bwraps(settings.bwrap)]


def _worktree(tree: Path) -> Path:
    tree = tree.resolve()
    if (tree / ".git").exists():
        raise PathRefused(f"{tree.name} is a repository, not a worktree", untouched="Nothing was run")
    return tree


def _nobody(_contact: Contact) -> None:
    """Nobody wants to know."""


async def _watch(
    started: Started, tree: Path, limits: Allowance, most: inventory.Limits, timeout: float
) -> Execution:
    """Read what the command prints until it ends or passes a limit, then see that nothing of it is left."""
    begun = asyncio.get_running_loop().time()
    output, too_much = Bounded(limits.kept_output), asyncio.Event()
    reading = asyncio.create_task(_read(started.output, output, limits.most_output, too_much))
    # In the order in which they count where two happen at once.
    waiting: dict[asyncio.Task[object], EndedBy] = {
        asyncio.create_task(started.process.wait()): "exit",
        asyncio.create_task(too_much.wait()): "output",
        asyncio.create_task(_guard_disk(tree, most)): "disk",
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


async def _guard_disk(tree: Path, most: inventory.Limits) -> None:
    """Returns when the worktree, or what it does to the disk, is too big."""
    pause = 0.1
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


def _most(tree: Path, limits: Allowance) -> inventory.Limits:
    """How much may lie in the worktree: what is there before the command, and what it may add."""
    files = size = 0
    try:
        for found in inventory.walk(tree):
            files += 1
            size += found.status.st_blocks * 512
    except (WorkspaceError, OSError):
        files = size = 0  # too deep to walk, or closed: nothing is granted for what cannot be counted
    return inventory.Limits(limits.tree_files + files, limits.tree_bytes + size)


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


__all__ = ["Allowance", "Contact", "Execution", "Sandbox"]
