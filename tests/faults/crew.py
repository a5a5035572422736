"""Three worker processes on one database: what may happen to the one that drives a run, or to the server."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from core import postmaster
from graph.runner import Factory
from tests.doubles.wire import Wire, wire
from tests.faults import worker

LEASE: Final = 1.5
WORKERS: Final = 3


Start = Callable[[Mapping[str, Any]], Any]
"""Starts a worker process with settings; what it gives can be killed and joined, and has a pid."""


class Crew:
    """Worker processes: what happens to one, and the one that comes after it."""

    def __init__(self, settings: dict[str, Any], data: str, lines: list[Wire], start: Start) -> None:
        self._settings = settings
        self._data = data
        self._begin = start
        self.lines = lines
        self.processes = [self._start(n) for n in range(WORKERS)]

    def _start(self, n: int) -> Any:
        url = self._settings["database_url"]
        through = {"database_url": through_port(url, self.lines[n].port)} if self.lines else {}
        return self._begin({**self._settings, **through})

    async def kill(self, n: int) -> None:
        """SIGKILL; another one takes its place."""
        self.processes[n].kill()
        await asyncio.to_thread(self.processes[n].join)
        self.processes[n] = self._start(n)

    async def stop(self, n: int) -> None:
        """SIGSTOP until well past its lease, then SIGCONT."""
        os.kill(self.processes[n].pid, signal.SIGSTOP)
        await asyncio.sleep(3 * LEASE)
        os.kill(self.processes[n].pid, signal.SIGCONT)

    async def cut(self, n: int) -> None:
        """Its network is gone for a while, and everybody knows."""
        self.lines[n].cut()
        await asyncio.sleep(LEASE)
        self.lines[n].mend()

    async def silence(self, n: int) -> None:
        """Its network is gone for longer than a lease, and nobody is told."""
        self.lines[n].silence()
        await asyncio.sleep(3 * LEASE)
        self.lines[n].cut()
        self.lines[n].mend()

    async def restart_postgres(self, _: int) -> None:
        """The database server ends in order (a fast shutdown), and is started again by its keeper."""
        await self._end_postgres(signal.SIGINT)

    async def kill_postgres(self, _: int) -> None:
        """The database server is killed, recovers from its log and goes on."""
        await self._end_postgres(signal.SIGKILL)

    async def _end_postgres(self, how: signal.Signals) -> None:
        server = postmaster.server_pid(self._data)
        assert server is not None
        os.kill(server, how)
        async with asyncio.timeout(60):
            while (now := postmaster.server_pid(self._data)) == server or not postmaster.is_ready(
                self._data, now or 0
            ):
                await asyncio.sleep(0.05)

    def end(self) -> None:
        """End all of them."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            process.kill()
            process.join()

    async def driver(self, factory: Factory, run_id: str) -> tuple[int, int] | None:
        """Which worker drives the run now, and under which attempt; None where it waits for somebody."""
        async with factory.db.pool.connection() as conn:
            cursor = await conn.execute("SELECT holder, attempt FROM holds WHERE subject = %s", (run_id,))
            row = await cursor.fetchone()
        if row is None or not row["holder"]:
            return None
        pid = int(row["holder"].split(" ")[-2])
        pids = [process.pid for process in self.processes]
        return (pids.index(pid), row["attempt"]) if pid in pids else None


Happening = Callable[[Crew, int], Awaitable[None]]

HAPPENINGS: Final[Mapping[str, tuple[Happening, bool]]] = {
    "killed": (Crew.kill, False),
    "stopped past its lease": (Crew.stop, False),
    "cut off": (Crew.cut, True),
    "cut off in silence": (Crew.silence, True),
    "left by a Postgres that restarts": (Crew.restart_postgres, False),
    "left by a Postgres that is killed": (Crew.kill_postgres, False),
}
"""What may happen, and whether the workers reach the database through a wire for it."""


def through_port(url: str, port: int) -> str:
    """The same database, through a port of loopback."""
    parts = urlsplit(url)
    return f"postgresql://{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}{parts.path}?sslmode=disable"


def socket_of(url: str) -> Path:
    """The socket of the database."""
    given = parse_qs(urlsplit(url).query)
    return Path(given["host"][0]) / f".s.PGSQL.{given['port'][0]}"


@asynccontextmanager
async def crew(
    settings: dict[str, Any], data: str, *, lines: bool = False, start: Start = worker.work
) -> AsyncIterator[Crew]:
    """Three workers on the server whose data lie in `data`."""
    opened = [wire(socket_of(settings["database_url"])) for _ in range(WORKERS if lines else 0)]
    wires = [each.__enter__() for each in opened]
    working = Crew(settings, data, wires, start)
    try:
        yield working
    finally:
        await asyncio.to_thread(working.end)
        for each in opened:
            each.__exit__(None, None, None)
