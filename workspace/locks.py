"""One holder at a time, across tasks and processes, without ever blocking the event loop.

Who holds a lock writes into its file what it drives, and under which attempt (core/fencing.py). A holder that
stands still, and was overtaken, keeps nobody waiting: the file makes room for a new one, and whatever the
sleeper still wants to do under the old one is refused to it.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from core import fencing

_SIGNED = 4_608
"""Bytes at the beginning of a lock's file that say who holds it: an attempt and the longest path."""
_PATIENCE: Final = 1.0
"""Seconds between two looks at whether the holder is one that was overtaken."""


class FileLock:
    """A lock on a file that the kernel releases when its holder dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = asyncio.Lock()  # first come, first served inside one process

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[int]:
        """Wait for the lock and hold it. Gives its file descriptor, for child processes to inherit."""
        async with self._turn:
            descriptor = await self._taken()
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    async def _taken(self) -> int:
        descriptor, pause, waited = self._opened(), 0.002, 0.0
        try:
            while True:
                if _taken(descriptor):
                    if _is_at(descriptor, self._path):
                        _sign(descriptor)
                        return descriptor
                    os.close(descriptor)  # it was replaced while we waited
                    descriptor = self._opened()
                    continue
                # flock can only be waited for by blocking a thread, and the pool's threads are few.
                await asyncio.sleep(pause)
                waited += pause
                pause = min(pause * 1.5, 0.05)
                if waited > _PATIENCE:
                    waited = 0.0
                    self._make_room(descriptor)
                    if not _is_at(descriptor, self._path):
                        os.close(descriptor)
                        descriptor = self._opened()
        except BaseException:
            os.close(descriptor)
            raise

    def _make_room(self, descriptor: int) -> None:
        """Take the file away whose holder was overtaken; one process at a time, so that it is that file."""
        if not _overtaken(descriptor):
            return
        alone = os.open(self._path.with_name(f"{self._path.name}.room"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if _taken(alone) and _is_at(descriptor, self._path):
                os.unlink(self._path)
        finally:
            os.close(alone)

    def _opened(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _sign(descriptor: int) -> None:
    fence = fencing.current()
    said = f"{fence.attempt} {fence.mark}" if fence is not None and fence.mark is not None else ""
    if not said and os.fstat(descriptor).st_size == 0:
        return  # nothing to say and nothing to write over: a full disk keeps nobody from a lock
    # At its full length over what the holder before wrote: to cut the file is one more journey to the disk.
    os.pwrite(descriptor, said.encode().ljust(_SIGNED), 0)


def _overtaken(descriptor: int) -> bool:
    attempt, _, mark = os.pread(descriptor, _SIGNED, 0).decode("utf-8", "replace").partition(" ")
    mark = mark.rstrip(" ")
    return attempt.isdecimal() and bool(mark) and fencing.marked(Path(mark)) > int(attempt)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
