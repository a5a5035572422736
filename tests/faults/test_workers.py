"""Three workers, and something happens to one of them: every run ends once, as if nothing had happened."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from core.settings import Settings
from graph.lifecycle import ENDED, WAITING
from graph.queue.driving import Dispatch
from graph.runner import Factory
from tests.doubles.ollama_server import OllamaServer
from tests.doubles.wire import Wire, wire
from tests.faults import worker
from tests.faults.scenario import Ended, answer, ended
from tests.packs.brain import brain

PACKS = Path(__file__).parent.parent / "packs"
LEASE = 1.5
WORKERS = 3
LONGEST = 120.0


@pytest.fixture
def settings(ollama_server: OllamaServer, factory_env: Mapping[str, str], tmp_path: Path) -> dict[str, Any]:
    """Those of a factory on the small pack, with short leases."""
    ollama_server.brain = brain()
    return {
        "home": tmp_path / "home",
        "database_url": factory_env["FACTORY_DATABASE_URL"],
        "pack": "small",
        "pack_dirs": [PACKS],
        "ollama_url": ollama_server.url,
        "lease_seconds": LEASE,
    }


class Crew:
    """Worker processes: what happens to one, and the one that comes after it."""

    def __init__(self, settings: dict[str, Any], lines: list[Wire]) -> None:
        self._settings = settings
        self.lines = lines
        self.processes = [self._start(n) for n in range(WORKERS)]
        self.stopped: list[int] = []

    def _start(self, n: int) -> Any:
        url = self._settings["database_url"]
        through = {"database_url": _through(url, self.lines[n].port)} if self.lines else {}
        return worker.work({**self._settings, **through})

    async def kill(self, n: int) -> None:
        """SIGKILL; another one takes its place."""
        self.processes[n].kill()
        await asyncio.to_thread(self.processes[n].join)
        self.processes[n] = self._start(n)

    async def stop(self, n: int) -> None:
        """SIGSTOP until well past its lease, then SIGCONT."""
        os.kill(self.processes[n].pid, signal.SIGSTOP)
        self.stopped.append(n)
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

    def end(self) -> None:
        """End all of them."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            process.kill()
            process.join()


def _through(url: str, port: int) -> str:
    parts = urlsplit(url)
    return f"postgresql://{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}{parts.path}?sslmode=disable"


def _socket(url: str) -> Path:
    given = parse_qs(urlsplit(url).query)
    return Path(given["host"][0]) / f".s.PGSQL.{given['port'][0]}"


@asynccontextmanager
async def crew(settings: dict[str, Any], *, lines: bool = False) -> AsyncIterator[Crew]:
    """Three workers."""
    opened = [wire(_socket(settings["database_url"])) for _ in range(WORKERS if lines else 0)]
    wires = [each.__enter__() for each in opened]
    working = Crew(settings, wires)
    try:
        yield working
    finally:
        await asyncio.to_thread(working.end)
        for each in opened:
            each.__exit__(None, None, None)


async def play(
    settings: dict[str, Any], happens: Callable[[Crew, int], Any] | None, seed: int, *, lines: bool = False
) -> Ended:
    """Submit a run and answer its questions; at a random moment something happens to who drives it."""
    chance = random.Random(seed)
    async with (
        Factory.open(Settings(**settings)) as factory,
        Dispatch.open(factory) as dispatch,
        crew(settings, lines=lines) as workers,
    ):
        run_id = await factory.submit("Small pages")
        at = chance.randint(3, 70)
        struck: asyncio.Task[Any] | None = None
        async with asyncio.timeout(LONGEST):
            while (status := (await factory.services.run(run_id)).status) not in ENDED:
                if happens and struck is None and len(await factory.events.read(run_id)) >= at:
                    n = await _driver(factory, run_id, workers)
                    struck = None if n is None else asyncio.create_task(happens(workers, n))
                for asked in await factory.approvals.pending(run_id) if status in WAITING else ():
                    await answer(factory, asked)
                await asyncio.sleep(0.05)
            if struck is not None:
                await struck
                await asyncio.sleep(2 * LEASE)  # what woke up does what it still can
        assert dispatch.failure(run_id) is None
        found = await ended(factory, run_id, deaths=0)
        told = frozenset(event for event in found.events if event[0] != "run.interrupted")
        return replace(found, events=told)


async def _driver(factory: Factory, run_id: str, workers: Crew) -> int | None:
    """Which worker drives the run now."""
    async with factory.db.pool.connection() as conn:
        cursor = await conn.execute("SELECT holder FROM holds WHERE subject = %s", (run_id,))
        row = await cursor.fetchone()
    if row is None or not row["holder"]:
        return None
    pid = int(row["holder"].split(" ")[-2])
    pids = [process.pid for process in workers.processes]
    return pids.index(pid) if pid in pids else None


HAPPENS: Mapping[str, tuple[Callable[[Crew, int], Any], bool]] = {
    "killed": (Crew.kill, False),
    "stopped past its lease": (Crew.stop, False),
    "cut off": (Crew.cut, True),
    "cut off in silence": (Crew.silence, True),
}


QUICK = "stopped past its lease"
"""What is tried each time; the others take their time."""


@pytest.mark.parametrize(
    "what", [what if what == QUICK else pytest.param(what, marks=pytest.mark.slow) for what in HAPPENS]
)
async def test_a_run_ends_as_undisturbed_when_its_worker_is(what: str, settings: dict[str, Any]) -> None:
    calm = await play(settings, None, 0)
    happens, lines = HAPPENS[what]
    assert await play(settings, happens, seed=len(what), lines=lines) == calm
    assert calm.status == "completed"


@pytest.mark.slow
async def test_at_a_hundred_random_moments(settings: dict[str, Any]) -> None:
    calm = await play(settings, None, 0)
    for seed in range(100):
        happens, lines = HAPPENS[random.Random(seed).choice(list(HAPPENS))]
        assert await play(settings, happens, seed, lines=lines) == calm, seed
