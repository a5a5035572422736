"""`factory …` as a process of its own, without paying for its imports each time.

It is forked from a process that has imported what commands import, and gets its own arguments, environment,
folder and streams. A test of the start itself (the interpreter, a terminal, a limit) runs `PROGRAM`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import cli
from cli.main import main
from core import faults
from tests.forking import context, start_server

_ELSEWHERE = {"cli.serving", "cli.chatting", "cli.working"}
"""Modules of commands that serve: they import a web server and a chat, which no other command needs."""

for _module in pkgutil.walk_packages(cli.__path__, "cli."):
    if _module.name not in _ELSEWHERE:
        importlib.import_module(_module.name)

LONGEST = 300.0
"""Seconds that one command may take where the machine is busy."""


class Process:
    """A command that works beside others."""

    def __init__(
        self, arguments: Sequence[str | bytes], *, env: Mapping[str, str], folder: Path, given: bytes = b""
    ) -> None:
        start_server()
        self._folder = tempfile.TemporaryDirectory()
        self._streams = [Path(self._folder.name) / name for name in ("in", "out", "err")]
        for stream in self._streams:
            stream.write_bytes(given if stream.name == "in" else b"")
        self.arguments = [os.fsdecode(argument) for argument in arguments]
        told = (self.arguments, dict(env), str(folder), [str(stream) for stream in self._streams])
        self._process: ForkServerProcess = context.Process(target=_become, args=told)
        self._process.start()

    def ended(self, longest: float = LONGEST) -> subprocess.CompletedProcess[str]:
        """What it said, and its exit code. Raises TimeoutError."""
        self._process.join(longest)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
            raise TimeoutError(f"factory {' '.join(self.arguments)} took longer than {longest:.0f} s")
        out, said = (stream.read_bytes().decode() for stream in self._streams[1:])
        code = self._process.exitcode
        assert code is not None
        self._folder.cleanup()
        return subprocess.CompletedProcess(["factory", *self.arguments], code, out, said)


def _become(arguments: list[str], env: dict[str, str], folder: str, streams: list[str]) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    for number, path in enumerate(streams):
        opened = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    sys.argv = ["factory", *arguments]
    importlib.reload(faults)  # it reads the environment once
    try:
        main()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
