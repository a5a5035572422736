"""The server is killed, ended and started again while runs are submitted: what it accepted ends once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from core.settings import Settings
from graph.lifecycle import ENDED
from graph.runner import Factory
from tests.api.waiting import ONE
from tests.doubles.ollama_server import OllamaServer
from tests.faults.scenario import Ended, ended
from tests.faults.server import Client, Server
from tests.packs.brain import brain

PACKS = Path(__file__).parent.parent / "packs"
LONGEST = 900.0
"""Seconds until the last run has ended."""
ENDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT)
"""How the server ends, one time after the other."""
PATIENCE = 120.0
"""Seconds that processes may take to come and go."""
EACH = 6
"""Runs of each client."""


@pytest.fixture
def environment(ollama_server: OllamaServer, factory_env: Mapping[str, str]) -> dict[str, str]:
    """That of a server on the small pack, with short leases."""
    ollama_server.brain = brain()
    return {
        **factory_env,
        "FACTORY_PACK": "small",
        "FACTORY_PACK_DIRS": str(PACKS),
        "FACTORY_OLLAMA_URL": ollama_server.url,
        "FACTORY_LEASE_SECONDS": "2",
        "FACTORY_RATE_LIMIT": "0",
    }


@pytest.fixture
async def server(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Server]:
    """A server that was started."""
    server = Server(environment, tmp_path)
    await server.start()
    yield server
    await server.abandon()


@pytest.mark.slow
async def test_the_server_restarts_under_load_without_a_lost_accepted_run(
    server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    clients = [Client(server, f"client {n}", insists=n % 2 == 0, wanted=ONE) for n in range(4)]
    submitting = [asyncio.create_task(client.submit(EACH)) for client in clients]
    chance = random.Random(6)
    for how in ENDS:
        await asyncio.sleep(chance.uniform(1, 6))
        assert await server.end(how) == (0 if how != signal.SIGKILL else -signal.SIGKILL), server.said
        await server.start()
    await asyncio.gather(*submitting)

    accepted = [run for client in clients for run in client.accepted.values()]
    assert len(set(accepted)) == len(accepted) == len(clients) * EACH
    monkeypatch.setattr(os, "environ", os.environ | environment)
    async with Factory.open(Settings.load()) as factory:
        runs = await _all_ended(factory)
        assert set(accepted) <= set(runs)
        # Who did not insist may have a run of which it was never told, and no more than one for a request.
        unsure = sum(client.unsure for client in clients)
        assert len(runs) <= len(accepted) + unsure
        ends = [await ended(factory, run, deaths=0) for run in runs]
    told = Counter(_told(end) for end in ends)
    assert len(told) == 1, told
    assert ends[0].status == "completed"
    assert all(sum(event[0] == "run.ended" for event in end.events) == 1 for end in ends)
    print(
        f"starts took {server.starts} s; refused: {[told for client in clients for told in client.refused]}"
    )
    print(f"{len(runs)} runs, {len(accepted)} of them told; {unsure} requests unanswered; {len(ENDS)} ends")


@pytest.mark.slow
async def test_the_workers_of_a_server_that_is_killed_end_with_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    server = Server(environment, tmp_path, ("--workers", "2"))
    await server.start()
    try:
        async with asyncio.timeout(PATIENCE):
            while not (workers := server.children()):
                await asyncio.sleep(0.1)
        assert await server.end(signal.SIGKILL) == -signal.SIGKILL
        async with asyncio.timeout(PATIENCE):
            while any(Path(f"/proc/{pid}").exists() for pid in workers):
                await asyncio.sleep(0.1)
    finally:
        await server.abandon()


async def _all_ended(factory: Factory) -> list[str]:
    """Until every run has ended; all of them."""
    async with asyncio.timeout(LONGEST):
        while True:
            async with factory.db.pool.connection() as conn:
                rows = await (await conn.execute("SELECT id, status FROM runs")).fetchall()
            if all(row["status"] in ENDED for row in rows):
                return [str(row["id"]) for row in rows]
            await asyncio.sleep(0.5)


def _told(end: Ended) -> tuple[object, ...]:
    """What must be the same for all runs."""
    return (end.status, end.stages, end.tree, end.statuses, len(end.model_calls))
