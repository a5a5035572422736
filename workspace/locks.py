"""One holder at a time, across tasks and processes, without ever blocking the event loop."""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path


class FileLock:
    """A lock on a file that the kernel releases when its holder dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = asyncio.Lock()  # first come, first served inside one process

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[int]:
        """Wait for the lock and hold it. Gives its file descriptor, for child processes to inherit."""
        async with self._turn:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                pause = 0.002
                while not _taken(descriptor):
                    # flock can only be waited for by blocking a thread, and the pool's threads are few.
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, 0.05)
                yield descriptor
            finally:
                os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
