"""A folder in memory for the test server, where the machine has room: to copy and remove a database for each
test is a third of what the tests compute when its thousand files lie on a disk."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")
_NAME = "factory-tests-{pid}-"
_ROOM = 2 << 30
"""Bytes that must be free; a server takes about 100 MB, and there is one for each worker."""


@contextmanager
def folder(otherwise: Path) -> Generator[Path]:
    """A folder in memory, gone afterwards; `otherwise` where there is too little of it."""
    if not _has_room():
        yield otherwise
        return
    _sweep()
    with tempfile.TemporaryDirectory(
        dir=_MEMORY, prefix=_NAME.format(pid=os.getpid()), ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def _has_room() -> bool:
    try:
        disk, memory = os.statvfs(_MEMORY), Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return False
    available = re.search(r"^MemAvailable: +(\d+) kB$", memory, re.MULTILINE)
    free = int(available[1]) * 1024 if available else 0
    return os.access(_MEMORY, os.W_OK | os.X_OK) and min(free, disk.f_bavail * disk.f_frsize) > _ROOM


def _sweep() -> None:
    """Remove what killed test processes left."""
    for left in _MEMORY.glob(_NAME.format(pid="*") + "*"):
        pid = int(left.name.split("-")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except PermissionError:
            continue  # somebody else's, and at work
