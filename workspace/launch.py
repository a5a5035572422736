"""Starts a command in bubblewrap, every limit in place before its first instruction; ends it for good."""

import asyncio
import json
import os
import resource
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workspace import cgroups, inventory
from workspace.confinement import Allowance, Confinement
from workspace.errors import SandboxUnavailable


@dataclass(frozen=True)
class Started:
    """A command on its way."""

    process: asyncio.subprocess.Process
    """Gives its output and its exit code."""
    end: Callable[[], Awaitable[bool]]
    """Kills all that is left and waits until it is gone; says whether memory ran out."""


async def launch(
    confinement: Confinement,
    parents: cgroups.Parents | None,
    words: Sequence[str],
    tree: Path,
    allowance: Allowance,
    *,
    timeout: float,
    writable: bool,
    environment: Mapping[str, str],
) -> Started:
    """Start `words` confined to `tree`. Raises SandboxUnavailable where bubblewrap fails."""
    if confinement.as_root:
        await asyncio.to_thread(inventory.give_to, tree, confinement.identity(tree))
    group = None
    if parents is not None and parents.folders:
        group = cgroups.Group(parents, processes=allowance.processes, memory=allowance.memory)
    process = None
    try:
        with _Wires() as wiring:
            content = {path: wiring.content(text.encode()) for path, text in confinement.files(tree).items()}
            refused = None if confinement.filter is None else wiring.content(confinement.filter)
            arguments = confinement.arguments(
                tree, allowance, writable=writable, files=content, seccomp_fd=refused
            )
            packed = wiring.content(b"".join(os.fsencode(word) + b"\0" for word in arguments))
            told, tell = wiring.pipe()
            hold, release = wiring.pipe()
            process = await asyncio.create_subprocess_exec(
                confinement.bwrap,
                *("--args", str(packed), "--info-fd", str(tell), "--block-fd", str(hold)),
                *("--", *confinement.become(tree), *words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**confinement.environment, **environment},
                cwd="/",
                pass_fds=(*content.values(), *(() if refused is None else (refused,)), packed, tell, hold),
            )
            wiring.close(tell)
            wiring.close(hold)
            first = await _first_process(told)
            if first is None:
                said, _ = await process.communicate()
                raise SandboxUnavailable(
                    f"bubblewrap failed: {said.decode('utf-8', 'replace').strip()[:500]}"
                )
            handle = os.pidfd_open(first)
            for which, limits in allowance.per_process(timeout).items():
                resource.prlimit(first, which, limits)
            if group is not None:
                group.attach(first)
            os.write(release, b"1")
    except BaseException:
        if process is not None and process.returncode is None:
            process.kill()  # what it started dies with it
            await process.wait()
        if group is not None:
            group.remove()
        raise
    return Started(process, _Ender(process, handle, group))


async def _first_process(told: int) -> int | None:
    """The id, as we see it, of the sandbox's first process; None where bubblewrap gave up before it."""
    said = b""
    while True:
        await _readable(told)
        chunk = os.read(told, 4096)
        said += chunk
        if not chunk:
            break
    try:
        return int(json.loads(said)["child-pid"])
    except (ValueError, KeyError):
        return None


async def _readable(descriptor: int) -> None:
    """Wait until `descriptor` can be read; that of a process can when the process is gone."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


class _Ender:
    """Ends a command with everything that it started."""

    def __init__(self, process: asyncio.subprocess.Process, handle: int, group: cgroups.Group | None) -> None:
        self._process, self._handle, self._group = process, handle, group

    async def __call__(self) -> bool:
        """Kill what is left, wait for the kernel to be done, and say whether memory ran out."""
        # The first process of a process namespace takes all others with it, and none can leave.
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        await _readable(self._handle)
        os.close(self._handle)
        await self._process.wait()
        if self._group is None:
            return False
        out_of_memory = self._group.out_of_memory
        pause = 0.001
        while not self._group.remove() and pause < 1:
            await asyncio.sleep(pause)
            pause *= 2
        return out_of_memory


class _Wires:
    """File descriptors for bubblewrap, closed at the end."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def __enter__(self) -> "_Wires":
        return self

    def __exit__(self, *error: object) -> None:
        for descriptor in self._open:
            os.close(descriptor)

    def content(self, data: bytes) -> int:
        """A descriptor to read `data` from."""
        descriptor = os.memfd_create("sandbox")
        self._open.add(descriptor)
        os.write(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def pipe(self) -> tuple[int, int]:
        """Both ends of a pipe."""
        ends = os.pipe()
        self._open.update(ends)
        return ends

    def close(self, descriptor: int) -> None:
        """Close one before the end."""
        self._open.remove(descriptor)
        os.close(descriptor)
