"""Sees what holds the event loop up: files, folders, processes, sleeps that our own code waits for in it."""

from __future__ import annotations

import asyncio
import fcntl
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import pytest

ROOT: Final = f"{Path(__file__).parents[1]}/"
STDLIB: Final = sysconfig.get_path("stdlib")
_FAMILIES: Final = {
    "os": (
        "scandir",
        "listdir",
        "walk",
        "remove",
        "rename",
        "mkdir",
        "rmdir",
        "link",
        "symlink",
        "truncate",
        "chmod",
    ),
    "shutil": ("rmtree", "copyfile", "copytree", "move"),
    "socket": ("connect", "getaddrinfo"),
    "fcntl": ("flock", "lockf"),
}
WAITS: Final = frozenset(
    [
        *(f"{family}.{name}" for family, names in _FAMILIES.items() for name in names),
        *(
            "open",
            "os.system",
            "os.posix_spawn",
            "subprocess.Popen",
            "glob.glob",
            "sqlite3.connect",
            "time.sleep",
        ),
    ]
)
"""What may wait for a disk, a lock, another process or a network: events of the interpreter's audit
(docs.python.org, "Audit events table"), and `time.sleep`, which has none. A look at one path (`os.stat`) is
not among them: it takes microseconds."""


class _Watch:
    """One hook for the whole process, since a hook cannot be taken away again."""

    def __init__(self) -> None:
        self.seen: list[str] | None = None
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.seen is None or event not in WAITS or _at_once(event, arguments):
            return
        if asyncio._get_running_loop() is None:
            return  # a thread, where waiting is right
        if (where := _whose(sys._getframe(1))) is not None:
            self.seen.append(f"{event} in {where}")


def _at_once(event: str, arguments: tuple[object, ...]) -> bool:
    """Whether it cannot wait: a lock that is only tried; a descriptor (`os.open`), with nothing read yet."""
    if event.startswith("fcntl."):
        return bool(int(str(arguments[1])) & fcntl.LOCK_NB)
    return event == "open" and arguments[1] is None


def _whose(frame: FrameType | None) -> str | None:
    """The place in our code that asked for it.

    None where the event loop itself does it, whose way of starting a process or a connection does not wait,
    and where a module is imported, which happens once.
    """
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(("<frozen importlib", f"{STDLIB}/asyncio/")):
            return None
        if file == __file__:
            frame = frame.f_back
            continue
        if file.startswith(ROOT) and "site-packages" not in file:
            ours = not file.startswith(f"{ROOT}tests/")
            return f"{file.removeprefix(ROOT)}:{frame.f_lineno}" if ours else None
        frame = frame.f_back
    return None


_watch: list[_Watch] = []


@contextmanager
def watched() -> Iterator[list[str]]:
    """What our code waited for inside the event loop while this was open, each with its place."""
    if not _watch:
        _watch.append(_Watch())
    watch = _watch[0]
    sleep = time.sleep

    def heard(seconds: float) -> None:
        watch.hear("time.sleep", (seconds,))
        sleep(seconds)

    watch.seen = seen = []
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "sleep", heard)
            yield seen
    finally:
        watch.seen = None
