"""Starts a command without isolation, for operators who said so: limits and time are all that holds."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress

from workspace.confinement import Confinement
from workspace.started import Job, Started, Wires

# Limits are set by a program of its own: code between fork and exec of this process could deadlock.
_LIMITED = (
    "import os, resource, sys\n"
    "words = sys.argv[2:]\n"
    "for pair in sys.argv[1].split(','):\n"
    "    which, limit = map(int, pair.split(':'))\n"
    "    resource.setrlimit(which, (limit, limit))\n"
    "os.execvp(words[0], words)\n"
)


class Unconfined:
    """Confines nothing."""

    name = "none"
    place = None
    bounds: Mapping[str, bool | None] = {}  # empty

    async def prepare(self) -> None:
        """Nothing."""

    async def launch(self, job: Job) -> Started:
        """Start a command as the user that we are, with the limits per process."""
        # The user's own processes count too: a limit of them would stop the command, or nothing.
        limits = {
            which: limit
            for which, (limit, _) in job.allowance.per_process(job.timeout).items()
            if which != resource.RLIMIT_NPROC
        }
        output, printed = os.pipe()
        os.set_blocking(output, False)
        with Wires(printed):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _LIMITED),
                ",".join(f"{which}:{limit}" for which, limit in limits.items()),
                *job.words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=printed,
                stderr=asyncio.subprocess.STDOUT,
                env={**Confinement("", job.tree).environment, **job.environment},
                cwd=job.tree,
                start_new_session=True,
            )

        async def end() -> bool:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            return False

        return Started(process, output, end)
