"""`factory serve` as a process that is killed and started again, and clients that submit to it meanwhile."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx

from core import clock
from core.listening import listen
from tests.cli.told import PROGRAM

READY = 300.0
"""Seconds that a start may take."""


@dataclass
class Server:
    """One address; behind it a process, or none at the moment."""

    environment: Mapping[str, str]
    folder: Path
    arguments: tuple[str, ...] = ()
    address: str = ""
    token: str = ""
    said: list[str] = field(default_factory=list[str])
    """Its lines on stderr, of all its starts."""
    starts: list[float] = field(default_factory=list[float])
    """Seconds that each start took."""

    def __post_init__(self) -> None:
        free, host, port = listen("127.0.0.1:0")
        free.close()
        self.address = f"{host}:{port}"

    async def start(self) -> None:
        """Start it, and wait until it says its token."""
        self._process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *("serve", "--listen", self.address, "--no-chat", *self.arguments),
            env=dict(self.environment),
            cwd=self.folder,
            stderr=asyncio.subprocess.PIPE,
        )
        self.token, began = "", clock.monotonic()
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(READY):
            while not self.token:
                assert self._process.returncode is None, "\n".join(self.said)
                await asyncio.sleep(0.05)
        self.starts.append(round(clock.monotonic() - began, 1))

    async def end(self, how: signal.Signals) -> int:
        """Send it a signal; its exit status."""
        self._process.send_signal(how)
        async with asyncio.timeout(READY):
            code = await self._process.wait()
            await self._reading
        return code

    def children(self) -> list[int]:
        """The workers that it has started."""
        pid = self._process.pid
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        told = {int(child): Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0") for child in found}
        return [child for child, words in told.items() if b"worker" in words]

    async def abandon(self) -> None:
        """Kill it, if it is there."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.said.append(line.decode().rstrip())
            if self.said[-1].startswith("The token"):
                self.token = self.said[-1].split()[-1]


@dataclass
class Client:
    """Submits one run after the other."""

    server: Server
    name: str
    insists: bool
    """Whether it sends a request whose answer it did not get again under the same key, or as a new one."""
    wanted: Mapping[str, object]
    """What it submits, each time for a project of its own."""
    accepted: dict[str, str] = field(default_factory=dict[str, str])
    """By key: the run that a 2xx named."""
    sent: int = 0
    """Requests that were answered."""
    unsure: int = 0
    """Requests that were not sent again though nobody said what became of them."""
    refused: list[str] = field(default_factory=list[str])
    """Answers that were no 2xx."""

    async def submit(self, many: int) -> None:
        """Submit so many runs."""
        for _ in range(many):
            key = str(uuid4())
            while not await self._sent(key):
                key = key if self.insists else str(uuid4())
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.3)

    async def _sent(self, key: str) -> bool:
        body = {**self.wanted, "project": f"project-{key[:13]}"}
        headers = {"Authorization": f"Bearer {self.server.token}", "Idempotency-Key": key}
        try:
            # A connection of its own: one that was kept would be the server's that is gone.
            async with httpx.AsyncClient(base_url=f"http://{self.server.address}", timeout=60) as http:
                answer = await http.post("/api/v1/runs", json=body, headers=headers)
        except httpx.ConnectError:
            return False  # nobody listens
        except httpx.TransportError:
            self.unsure += not self.insists
            return False
        self.sent += 1
        if not answer.is_success:
            # Between two starts: the token is the last one's, or the server ends.
            assert answer.status_code in {401, 409, 503}, answer.text
            self.refused.append(answer.text)
            self.unsure += not self.insists and answer.status_code != 401
            return False
        run_id = str(answer.json()["run_id"])
        assert self.accepted.setdefault(key, run_id) == run_id
        return True
