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

_PATIENCE = 10.0
"""Seconds that bubblewrap may take to set the sandbox up."""


@dataclass(frozen=True)
class Started:
    """A command on its way."""

    process: asyncio.subprocess.Process
    output: int
    """Where its output can be read: the reader closes it. Not a pipe of asyncio's, which would wait for a
    reader before it says that the process is gone."""
    end: Callable[[], Awaitable[bool]]
    """Kills all that is left and waits until it is gone; says whether memory ran out."""
    memory_is_bounded: bool = False
    """Whether the kernel bounds the memory of all its processes together."""


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
    output, printed = os.pipe()
    os.set_blocking(output, False)
    group = None
    try:
        with Wires(printed) as wires:
            if confinement.as_root:
                await asyncio.to_thread(inventory.give_to, tree, confinement.identity(tree))
            if parents is not None and parents.folders:
                group = await asyncio.to_thread(
                    cgroups.Group, parents, processes=allowance.processes, memory=allowance.memory
                )
            lines = _Lines(*wires.pipe(), *wires.pipe())
            for ours in (lines.told, lines.release):
                os.set_blocking(ours, False)
            arguments, inherited = _arguments(confinement, wires, tree, allowance, writable=writable)
            process = await asyncio.create_subprocess_exec(
                confinement.bwrap,
                *(*arguments, "--info-fd", str(lines.tell), "--block-fd", str(lines.hold)),
                *("--", *confinement.become(tree), *words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=printed,
                stderr=asyncio.subprocess.STDOUT,
                env={**confinement.environment, **environment},
                cwd="/",
                pass_fds=(*inherited, lines.tell, lines.hold),
            )
            for descriptor in (printed, lines.tell, lines.hold):
                wires.close(descriptor)
            try:
                first = await asyncio.wait_for(_first_process(lines.told), _PATIENCE)
                handle = os.pidfd_open(first)
                for which, limits in allowance.per_process(timeout).items():
                    resource.prlimit(first, which, limits)
                if group is not None:
                    await asyncio.to_thread(group.attach, first)
                os.write(lines.release, b"1")
            except BaseException:
                with suppress(ProcessLookupError):
                    process.kill()  # what it started dies with it, before it was let go
                await process.wait()
                raise
    except BaseException as error:
        said = _said(output)
        os.close(output)
        if group is not None:
            await asyncio.to_thread(group.remove)
        if isinstance(error, OSError | ValueError | TimeoutError):
            raise SandboxUnavailable(f"bubblewrap failed: {said or error}") from error
        raise
    bounded = group is not None and parents is not None and parents.memory is not None
    return Started(process, output, _Ender(process, handle, group), bounded)


@dataclass(frozen=True)
class _Lines:
    """Two pipes: bubblewrap tells the first process's id on one, and holds it until we release it."""

    told: int
    tell: int
    hold: int
    release: int


def _arguments(
    confinement: Confinement, wires: "Wires", tree: Path, allowance: Allowance, *, writable: bool
) -> tuple[list[str], list[int]]:
    """Bubblewrap's arguments, and the descriptors that they name."""
    files = {path: wires.content(text.encode()) for path, text in confinement.files(tree).items()}
    refused = None if confinement.filter is None else wires.content(confinement.filter)
    arguments = confinement.arguments(tree, allowance, writable=writable, files=files, seccomp_fd=refused)
    # Not on its command line, which everything inside can read.
    packed = wires.content(b"".join(os.fsencode(word) + b"\0" for word in arguments))
    inherited = [*files.values(), packed]
    if refused is not None:
        inherited.append(refused)
    return ["--args", str(packed)], inherited


def _said(output: int) -> str:
    try:
        return os.read(output, 10_000).decode("utf-8", "replace").strip()[:500]
    except BlockingIOError:
        return ""


async def _first_process(told: int) -> int:
    """The id, as we see it, of the sandbox's first process. ValueError where bubblewrap gave up before it."""
    said = b""
    while True:
        await readable(told)
        if not (chunk := os.read(told, 4096)):
            break
        said += chunk
    return int(json.loads(said)["child-pid"])


async def readable(descriptor: int) -> None:
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
        await readable(self._handle)
        os.close(self._handle)
        await self._process.wait()
        if self._group is None:
            return False
        out_of_memory = await asyncio.to_thread(self._group.out_of_memory)
        pause = 0.001
        while not await asyncio.to_thread(self._group.remove) and pause < 1:
            await asyncio.sleep(pause)
            pause *= 2
        return out_of_memory


class Wires:
    """File descriptors for bubblewrap, closed at the end."""

    def __init__(self, *given: int) -> None:
        self._open = set(given)

    def __enter__(self) -> "Wires":
        return self

    def __exit__(self, *error: object) -> None:
        for descriptor in self._open:
            os.close(descriptor)

    def content(self, data: bytes) -> int:
        """A descriptor to read `data` from."""
        descriptor = os.memfd_create("sandbox")
        self._open.add(descriptor)
        with open(descriptor, "wb", closefd=False) as file:  # writes all of it, however much it is
            file.write(data)
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
