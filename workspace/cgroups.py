"""Limits on all processes of a command together, where this machine lets us make control groups.

Where it does not, the limits per process and per user hold alone.
"""

import os
import secrets
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PREFIX = "factory-"
_STALE = 600
"""Seconds after which an empty group is nobody's."""


@dataclass(frozen=True, slots=True)
class Parents:
    """Where groups can be made: one folder for both limits (version 2), or one each (version 1)."""

    version: int
    processes: Path | None
    memory: Path | None

    @property
    def folders(self) -> Sequence[Path]:
        """The distinct folders."""
        return tuple({folder: None for folder in (self.processes, self.memory) if folder})


def find() -> Parents:
    """Where this process may make groups, tried out; leftovers of killed factories are removed."""
    own = _own()
    if "" in own and (_ROOT / "cgroup.controllers").exists():
        # Processes may only live in leaves, so the new group stands beside our own, not in it.
        beside = (_ROOT / own[""].lstrip("/")).parent
        able = set(_text(beside / "cgroup.subtree_control").split())
        usable = beside if {"pids", "memory"} <= able and own[""] != "/" and _usable(beside) else None
        return Parents(2, usable, usable)
    folders: dict[str, Path | None] = {}
    for controller in ("pids", "memory"):
        mount = _ROOT / controller
        inner = mount / own.get(controller, "/").lstrip("/")
        here = inner if inner.is_dir() else mount  # in a container the path is the host's
        folders[controller] = here if (here / "cgroup.procs").exists() and _usable(here) else None
    return Parents(1, folders["pids"], folders["memory"])


class Group:
    """The groups of one command. Make it, start in it or `attach` a process, `remove` it at the end."""

    def __init__(self, parents: Parents, *, processes: int, memory: int) -> None:
        self._parents = parents
        name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
        self._folders = [folder / name for folder in parents.folders]
        for folder in self._folders:
            folder.mkdir()
        settings = (
            {"pids.max": processes, "memory.max": memory, "memory.swap.max": 0, "memory.oom.group": 1}
            if parents.version == 2
            else {
                "pids.max": processes,
                "memory.limit_in_bytes": memory,
                "memory.memsw.limit_in_bytes": memory,
            }
        )
        for folder in self._folders:
            for file, value in settings.items():
                if (folder / file).exists():
                    with suppress(OSError):  # swap is not counted everywhere
                        (folder / file).write_text(str(value))

    @contextmanager
    def joined(self) -> Generator[bool]:
        """Put the calling thread into the groups for the block, so that what it starts is in them.

        Gives False where it cannot: groups of version 2 take whole processes only. A thread that moves itself
        spares the kernel a wait for all processors.
        """
        if self._parents.version == 2:
            yield False
            return
        try:
            for folder in self._folders:
                (folder / "tasks").write_text("0")
            yield True
        finally:
            for folder in self._parents.folders:
                (folder / "tasks").write_text("0")

    def attach(self, process: int) -> None:
        """Put a process, and all that it will start, into the groups."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(process))

    def out_of_memory(self) -> bool:
        """Whether the kernel killed something in the group for want of memory."""
        for folder in self._folders:
            for file in ("memory.events", "memory.oom_control"):
                for line in _text(folder / file).splitlines():
                    if line.startswith("oom_kill ") and line.split()[1] != "0":
                        return True
        return False

    def remove(self) -> bool:
        """Remove the groups; False while a process is still in one."""
        left: list[Path] = []
        for folder in self._folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                left.append(folder)
        self._folders = left
        return not left


def _own() -> dict[str, str]:
    groups: dict[str, str] = {}
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def _usable(folder: Path) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    for stale in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            # Another factory's group is empty until its command starts.
            if time.time() - stale.stat().st_mtime > _STALE:
                stale.rmdir()  # refused while it is in use
    trial = folder / f"{_PREFIX}{secrets.token_hex(6)}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError:
        return False
    return True


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
