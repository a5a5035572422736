"""A command on its way, whatever confines it: how it is started, read, awaited and ended."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from workspace.allowance import Allowance

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Job:
    """A command that is to be run."""

    words: Sequence[str]
    tree: Path
    """The worktree, the only place on the host that it may change."""
    allowance: Allowance
    timeout: float
    """Seconds after which it will be ended; a backend may keep it too, in case that we die before."""
    writable: bool = True
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """What it finds in its environment beside the backend's own."""
    shown: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """Folders that it may read beside the system's: their path inside, and where they lie."""
    egress: Path | None = None
    """The socket of the proxy through which it reaches allowed hosts; None: no network at all."""


class Process(Protocol):
    """What is asked of a process: asyncio's has it, and `Child`."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    async def wait(self) -> int: ...


@dataclass(frozen=True)
class Started:
    """A command on its way."""

    process: Process
    output: int
    """Where its output can be read: the reader closes it. Not a pipe of asyncio's, which would wait for a
    reader before it says that the process is gone."""
    end: Callable[[], Awaitable[bool]]
    """Kills all that is left and waits until it is gone; says whether memory ran out."""
    memory_is_bounded: bool = False
    """Whether the kernel bounds the memory of all its processes together."""


class Backend(Protocol):
    """One way to confine commands."""

    @property
    def name(self) -> str:
        """As the settings and `factory doctor` call it."""
        ...

    @property
    def place(self) -> str | None:
        """The path at which commands see the worktree; None: where it lies."""
        ...

    @property
    def bounds(self) -> Mapping[str, bool | None]:
        """Limits on all processes together, by name: whether this backend keeps them here."""
        ...

    async def prepare(self) -> None:
        """Look at this machine once, before the first command. Raises SandboxUnavailable."""
        ...

    async def launch(self, job: Job) -> Started:
        """Start a command. Raises SandboxUnavailable where the backend fails."""
        ...


class Child:
    """A process that some thread of ours started, awaited by the event loop. Make it in the loop."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        loop = asyncio.get_running_loop()
        self._gone: asyncio.Future[int] = loop.create_future()
        handle = os.pidfd_open(process.pid)

        def reap() -> None:
            loop.remove_reader(handle)
            os.close(handle)
            self._gone.set_result(process.wait())

        loop.add_reader(handle, reap)

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative where a signal ended it; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Its exit code, when it is gone."""
        return await asyncio.shield(self._gone)


async def readable(descriptor: int) -> None:
    """Wait until `descriptor` can be read; that of a process can when the process is gone."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


async def in_own_thread(
    work: Callable[[], Result], hold: Callable[[Result], None], undo: Callable[[Result], None]
) -> Result:
    """Run `work` in a thread that lives on until `hold` of what it made returns.

    The kernel takes the thread for the parent of what it started: a child that is to die with its parent
    would die with the thread. What was made is undone where nobody waits any more.
    """
    done: Future[Result] = Future()

    def body() -> None:
        try:
            made = work()
        except BaseException as error:  # noqa: BLE001  # it is raised where it is awaited
            done.set_exception(error)
        else:
            done.set_result(made)
            hold(made)

    threading.Thread(target=body, name="sandbox", daemon=True).start()
    try:
        return await asyncio.shield(asyncio.wrap_future(done))
    except asyncio.CancelledError:
        done.add_done_callback(lambda late: undo(late.result()) if late.exception() is None else None)
        raise


class Wires:
    """File descriptors for another program, closed at the end."""

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
