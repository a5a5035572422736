"""The embedded Postgres dies under a run: the run goes on, or ends with a clear error and can be resumed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from core import postmaster
from core.cluster import Room, settle
from core.database import DatabaseUnavailable
from core.settings import Settings
from graph.lifecycle import ENDED
from graph.runner import Factory
from tests.doubles.ollama_server import OllamaServer
from tests.faults import worker
from tests.faults.scenario import Ended, ended
from tests.packs.brain import brain

PACKS = Path(__file__).parent.parent / "packs"
PATIENCE = 120.0
"""Seconds until a database that was killed must answer again."""
REQUIREMENT = "A library lends tools to members. A tool has a name and a category, a member has a name."


def kill_postgres(home: Path, *, keeper: bool) -> None:
    """SIGKILL to the server, each of its processes, and the one that keeps it where `keeper` says so."""
    data = str(settle(Room(home / "postgres", home / "postgres" / "cluster")).data)
    server = postmaster.server_pid(data)
    assert server is not None
    doomed = [server, *map(int, Path(f"/proc/{server}/task/{server}/children").read_text().split())]
    if keeper:
        doomed.insert(0, int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1]))
    for pid in doomed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # gone with its parent


async def play(settings: dict[str, Any], pipeline: str, kills: list[tuple[int, bool]]) -> Ended:
    """Drive a run to its end; Postgres dies when the run has so many events, with its keeper where said."""
    codes: list[int] = []
    async with Factory.open(Settings(**settings)) as factory:
        run_id = await factory.submit(REQUIREMENT, pipeline=pipeline, approve_all=True)
        for _ in range(5):
            driving = asyncio.create_task(asyncio.to_thread(worker.drive, settings, run_id))
            while kills and not driving.done():
                await asyncio.sleep(0.02)
                if len(await _answered(lambda: factory.events.read(run_id))) >= kills[0][0]:
                    _, keeper = kills.pop(0)
                    kill_postgres(settings["home"], keeper=keeper)
            codes.append(await driving)
            assert codes[-1] in (0, worker.UNAVAILABLE)
            if (await _answered(lambda: factory.services.run(run_id))).status in ENDED:
                assert not kills, "the run ended before Postgres died"
                end = await ended(factory, run_id, deaths=0)
                # Why it stopped is said, and may be said twice.
                told = frozenset(event for event in end.events if event[0] != "run.interrupted")
                return replace(end, events=told)
    raise AssertionError(f"the run did not end; its processes ended with {codes}")


Told = TypeVar("Told")


async def _answered(ask: Callable[[], Awaitable[Told]]) -> Told:
    """What the database says, as soon as it is back."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await ask()
            except (psycopg.OperationalError, DatabaseUnavailable, PoolTimeout):
                await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("pipeline", "first", "then"),
    [("one", 8, 20), pytest.param("core", 40, 90, marks=pytest.mark.slow)],
)
async def test_a_run_ends_as_ever_when_postgres_is_killed_in_the_middle_of_it(
    pipeline: str, first: int, then: int, ollama_server: OllamaServer, tmp_path: Path
) -> None:
    """First the server alone, which its keeper starts again; then both, which the factory starts again."""
    settings: dict[str, Any] = {"home": tmp_path / "home", "model": "offline"}
    if pipeline == "one":
        ollama_server.brain = brain()
        settings |= {"model": None, "ollama_url": ollama_server.url, "pack": "small", "pack_dirs": [PACKS]}
    expected = await play(settings, pipeline, [])
    assert expected.status == "completed"
    assert await play(settings, pipeline, [(first, False), (then, True)]) == expected
