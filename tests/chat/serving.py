"""`factory serve` as a process, which can be killed and started again."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Server:
    """The process, and where it is."""

    home: Path
    port: int
    environment: Mapping[str, str]
    process: asyncio.subprocess.Process | None = None
    link: str = ""
    _draining: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """What its printed link signs in with."""
        return self.link.partition("?token=")[2]

    @property
    def whole_environment(self) -> dict[str, str]:
        """Of the process, and of a `factory` beside it that shares its home and its people."""
        root = str(Path(__file__).parents[2])
        return {**os.environ, **self.environment, "PYTHONPATH": root, "FACTORY_TOKEN": self.token}

    async def start(self) -> None:
        """Start it, and wait until it says where the chat is."""
        program = "import sys; from cli.main import main; sys.exit(main())"
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, "serve"),
            *("--listen", f"127.0.0.1:{self.port}", "--model", "offline"),
            cwd=self.home,
            env=self.whole_environment,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            while found := await self.process.stderr.readline():
                if told := re.search(rb"The chat: (\S+)", found):
                    self.link = told[1].decode()
                    self._draining = asyncio.create_task(self._drain(self.process.stderr))
                    return
        raise AssertionError("the server did not start")

    async def _drain(self, said: asyncio.StreamReader) -> None:
        """Read on, so that a server with much to say is not held up."""
        while await said.readline():
            pass

    async def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def served(home: Path, environment: Mapping[str, str]) -> AsyncIterator[Server]:
    """A server on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Server(home, free.getsockname()[1], environment)
    await server.start()
    try:
        yield server
    finally:
        assert server.process is not None
        if server.process.returncode is None:
            server.process.terminate()
            await server.process.wait()
