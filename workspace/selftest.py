"""Proves the sandbox from inside before it may run anything: what is not shown to hold does not count."""

import asyncio
import json
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Protocol

from workspace.allowance import Allowance
from workspace.errors import SandboxUnavailable

ESSENTIAL: tuple[str, ...] = (
    "files",
    "network",
    "user",
    "capabilities",
    "no_new_privileges",
    "system_read_only",
    "system_calls",
    "processes_hidden",
    "environment",
    "process_limit",
    "memory_limit",
    "terminal",
)
"""Without one of these nothing is run."""

_PROCESSES = 24


class Ran(Protocol):
    """What became of the probe."""

    @property
    def exit_code(self) -> int: ...
    @property
    def output(self) -> str: ...


class Confined(Protocol):
    """What is to be proved: a way to run a command."""

    async def run(
        self, command: Sequence[str], tree: Path, *, timeout: float, allowance: Allowance
    ) -> Ran: ...


async def protections(sandbox: Confined, home: Path) -> Mapping[str, bool | None]:
    """Every protection by name, and whether it held. Raises SandboxUnavailable where nothing ran."""
    folder = await asyncio.to_thread(_canary, home)
    probe = await asyncio.to_thread((files("workspace") / "probe.py").read_text)
    server = await asyncio.start_server(_hang_up, "127.0.0.1", 0)
    try:
        port = str(server.sockets[0].getsockname()[1])
        words = ["python3", "-I", "-S", "-c", probe, str(folder / "host" / "canary"), port, str(_PROCESSES)]
        few = replace(Allowance(), processes=_PROCESSES)
        ran = await sandbox.run(words, folder / "tree", timeout=10, allowance=few)
    finally:
        server.close()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    if ran.exit_code != 0:
        raise SandboxUnavailable(f"the sandbox's self-test did not run: {ran.output.strip()[-300:]}")
    held: dict[str, bool | None] = dict.fromkeys(ESSENTIAL)
    held.update(json.loads(ran.output))
    return held


def _canary(home: Path) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="selftest-", dir=home))
    (folder / "host").mkdir()
    (folder / "host" / "canary").write_text(secrets.token_hex())
    (folder / "tree").mkdir()
    return folder


async def _hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
