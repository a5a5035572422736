"""`factory …` at a terminal of its own, and the person who sits there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from pathlib import Path

from tests.cli.told import PROGRAM

PROMPT = r"\n(\x1b\[1m)?> (\x1b\[0m)?$"
"""The end of a screen on which a question waits: a line of its own, since reading may stop anywhere."""


class Terminal:
    """A process whose standard streams are a terminal of `columns` by `lines`."""

    def __init__(
        self, arguments: list[str], env: dict[str, str], cwd: Path, *, columns: int = 120, lines: int = 24
    ) -> None:
        self.seen = ""
        self.child, self._fd = pty.fork()
        if self.child == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            os.chdir(cwd)
            for number in (signal.SIGINT, signal.SIGQUIT):  # ignored where the tests run in the background
                signal.signal(number, signal.SIG_DFL)
            os.execve(PROGRAM[0], [*PROGRAM, *arguments], {**env, "TERM": "xterm"})

    def expect(self, pattern: str, *, seconds: float = 60) -> None:
        """Read until the screen has shown `pattern` since the last thing that was typed."""
        until = time.monotonic() + seconds
        while not re.search(pattern, self.seen):
            ready, _, _ = select.select([self._fd], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"{pattern!r} did not come; the screen showed: {self.seen[-3000:]}"
            try:
                data = os.read(self._fd, 65_536)
            except OSError:
                data = b""
            assert data, f"it ended before {pattern!r}: {self.seen[-3000:]}"
            self.seen += data.decode(errors="replace")

    def type(self, text: str) -> None:
        """Press keys; what was seen before is forgotten."""
        self.seen = ""
        os.write(self._fd, text.encode())

    def ended(self, *, seconds: float = 60) -> int:
        """Read to the end; returns the exit code."""
        until = time.monotonic() + seconds
        while select.select([self._fd], [], [], max(0.0, until - time.monotonic()))[0]:
            try:
                data = os.read(self._fd, 65_536)
            except OSError:
                break
            if not data:
                break
            self.seen += data.decode(errors="replace")
        else:
            os.kill(self.child, signal.SIGKILL)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
