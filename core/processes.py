"""Ending processes that asyncio started."""

from asyncio.subprocess import Process


async def reap(process: Process) -> None:
    """Wait until a process that was killed is gone, whatever of its output nobody read.

    `Process.wait` alone may wait for ever: it also waits for the ends of the pipes (python/cpython#119710),
    and a pipe is not read any further while much of what came through it lies unread.
    """
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            await pipe.read()
    await process.wait()
