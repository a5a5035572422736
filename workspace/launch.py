"""Starts a command in bubblewrap, every limit in place before its first instruction; ends it for good.

All of a start happens in one thread of its own: it costs the event loop one wake-up, and where control groups
are of version 1 the thread goes into them itself, starts bubblewrap, and comes back. Moving another process
makes the kernel wait for all its processors, some ten milliseconds each time.
"""

import asyncio
import json
import os
import resource
import select
import signal
import subprocess
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial

from workspace import cgroups, inventory
from workspace.confinement import Confinement
from workspace.errors import SandboxUnavailable
from workspace.relay import through_relay
from workspace.started import Child, Job, Started, Wires, in_own_thread, readable

_PATIENCE = 10.0
"""Seconds that bubblewrap may take to set the sandbox up."""
_AROUND = 3
"""Processes of bubblewrap's and ours that count in the command's groups."""


async def launch(confinement: Confinement, parents: cgroups.Parents | None, job: Job) -> Started:
    """Start a confined command. Raises SandboxUnavailable where bubblewrap fails."""
    begun = await in_own_thread(partial(_begin, confinement, parents, job), _hold, _abandon)
    child = Child(begun.process)
    bounded = begun.group is not None and parents is not None and parents.memory is not None
    return Started(child, begun.output, _Ender(child, begun.first, begun.group), bounded)


@dataclass(frozen=True)
class _Begun:
    process: "subprocess.Popen[bytes]"
    first: int
    """Descriptor of the sandbox's first process."""
    output: int
    group: cgroups.Group | None


def _begin(confinement: Confinement, parents: cgroups.Parents | None, job: Job) -> _Begun:
    output, printed = os.pipe()
    os.set_blocking(output, False)
    group = None
    try:
        with Wires(printed) as wires:
            if confinement.as_root:
                inventory.give_to(job.tree, confinement.identity(job.tree))
            if parents is not None and parents.folders:
                group = cgroups.Group(
                    parents, processes=job.allowance.processes + _AROUND, memory=job.allowance.memory
                )
            process, first = _start(confinement, group, job, wires, printed)
    except BaseException as error:
        said = _said(output)
        os.close(output)
        if group is not None:
            group.remove()
        if isinstance(error, OSError | ValueError):
            raise SandboxUnavailable(f"bubblewrap failed: {said or error}") from error
        raise
    return _Begun(process, first, output, group)


def _start(
    confinement: Confinement, group: cgroups.Group | None, job: Job, wires: Wires, printed: int
) -> tuple["subprocess.Popen[bytes]", int]:
    """Bubblewrap, and a descriptor of the first process in it, which is on its way to the command."""
    (told, tell), (hold, release) = wires.pipe(), wires.pipe()
    arguments, inherited = _arguments(confinement, wires, job)
    words = [
        *(confinement.bwrap, *arguments, "--info-fd", str(tell), "--block-fd", str(hold)),
        *("--", *confinement.become(job.tree)),
        *(through_relay(job.words) if job.egress else job.words),
    ]
    with group.joined() if group is not None else nullcontext(False) as joined:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env={**confinement.environment, **job.environment},
            cwd="/",
            pass_fds=(*inherited, tell, hold),
            process_group=0,  # Ctrl-C at a terminal is no failed check: who waits for the command ends it
        )
    try:
        wires.close(tell)
        wires.close(hold)
        first = _first_process(told)
        handle = os.pidfd_open(first)
        for which, limits in job.allowance.per_process(job.timeout).items():
            resource.prlimit(first, which, limits)
        if group is not None and not joined:
            group.attach(first)
        os.write(release, b"1")
    except BaseException:
        process.kill()  # what it started dies with it, before it was let go
        process.wait()
        raise
    return process, handle


def _hold(begun: _Begun) -> None:
    """Wait until bubblewrap is gone, which would go with this thread; somebody else collects it."""
    with suppress(ChildProcessError):
        os.waitid(os.P_PID, begun.process.pid, os.WEXITED | os.WNOWAIT)


def _abandon(begun: _Begun) -> None:
    """End a command for which nobody waits any more."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(begun.first, signal.SIGKILL)
    begun.process.wait()
    waiting = select.poll()
    waiting.register(begun.first, select.POLLIN)
    waiting.poll()
    os.close(begun.first)
    os.close(begun.output)
    if begun.group is not None:
        begun.group.remove()


def _arguments(confinement: Confinement, wires: Wires, job: Job) -> tuple[list[str], list[int]]:
    """Bubblewrap's arguments, and the descriptors that they name."""
    files = {path: wires.content(text.encode()) for path, text in confinement.files(job.tree).items()}
    refused = None if confinement.filter is None else wires.content(confinement.filter)
    arguments = confinement.arguments(
        job.tree,
        job.allowance,
        writable=job.writable,
        files=files,
        seccomp_fd=refused,
        egress=job.egress,
        shown=job.shown,
    )
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


def _first_process(told: int) -> int:
    """The id, as we see it, of the sandbox's first process. ValueError where bubblewrap gave up before it."""
    said, until = b"", time.monotonic() + _PATIENCE
    waiting = select.poll()
    waiting.register(told, select.POLLIN)
    while True:
        if not waiting.poll(max(0.0, until - time.monotonic()) * 1000):
            raise TimeoutError(f"nothing for {_PATIENCE:.0f} s")
        if not (chunk := os.read(told, 4096)):
            break
        said += chunk
    return int(json.loads(said)["child-pid"])


class _Ender:
    """Ends a command with everything that it started."""

    def __init__(self, process: Child, first: int, group: cgroups.Group | None) -> None:
        self._process, self._first, self._group = process, first, group

    async def __call__(self) -> bool:
        """Kill what is left, wait for the kernel to be done, and say whether memory ran out."""
        # The first process of a process namespace takes all others with it, and none can leave.
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._first, signal.SIGKILL)
        await readable(self._first)
        os.close(self._first)
        await self._process.wait()
        if self._group is None:
            return False
        out_of_memory = await asyncio.to_thread(self._group.out_of_memory)
        gone = await asyncio.to_thread(self._group.remove)
        pause = 0.001
        while not gone and pause < 1:
            await asyncio.sleep(pause)
            pause *= 2
            gone = await asyncio.to_thread(self._group.remove)
        return out_of_memory
