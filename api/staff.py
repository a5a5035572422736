"""Further workers of a server, each a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from core import clock, logs
from core.tasks import end

_PAUSE, _LONGEST = 1.0, 60.0
"""Seconds before a worker that ended by itself is started again; twice as many each time that it was soon."""
_SOON: Final = 10.0
_GRACE: Final = 10.0
"""Seconds that a worker has to hand its runs over."""

_PROGRAM: Final = """
import sys
from core.postmaster import die_with_parent
die_with_parent(int(sys.argv.pop(1)))
from cli.main import main
main()
"""
"""A worker that is told to end (SIGINT) when the server is gone, killed or not."""

_log = logs.get(__name__)


@asynccontextmanager
async def more(number: int, jobs: int, model: str | None, graphs: Path | None = None) -> AsyncGenerator[None]:
    """So many workers beside this process; in the end they hand over what they do."""
    keepers = [asyncio.create_task(_kept(jobs, model, graphs), name=f"worker {n}") for n in range(number)]
    try:
        yield
    finally:
        await end(*keepers, again=2 * _GRACE)


async def _kept(jobs: int, model: str | None, graphs: Path | None) -> None:
    chosen = ["--model", model] if model else []
    if graphs is not None:
        chosen += ["--graphs", str(graphs)]
    pause = _PAUSE
    while True:
        began = clock.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", _PROGRAM, str(os.getpid()), "worker", "--jobs", str(jobs), *chosen),
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C at a terminal is for the server, who passes it on in order
        )
        try:
            code = await process.wait()
        finally:
            await _ended(process)
        pause = min(2 * pause, _LONGEST) if clock.monotonic() - began < _SOON else _PAUSE
        _log.warning("worker.ended", code=code, again_in=pause)
        await asyncio.sleep(pause)


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_GRACE):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
