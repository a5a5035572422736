"""A factory whose embedded Postgres lies on a small disk of its own, which fills up under a run.

A program, for a namespace in which it may mount: `unshare --user --map-root-user --mount python -m … FOLDER`.
Its last line tells what two runs came to, one of them while the disk was full.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout

from core.errors import FactoryError
from core.settings import Settings
from graph.lifecycle import ENDED, WAITING
from graph.queue.driving import Dispatch
from graph.runner import Factory
from tests.doubles.ollama_server import OllamaServer
from tests.faults import worker
from tests.faults.scenario import answer, ended
from tests.packs.brain import brain

SIZE = "200m"
FULL = 20.0
"""Seconds that it stays full."""
AT = 40
"""Events that the run has when it fills up."""
LONGEST = 300.0
_OF_WORKERS = ("('run.interrupted'", "('run.announced'")


def fill(disk: Path) -> Path:
    """Leave no byte of room; the file to remove."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return filler


async def play(factory: Factory, run_id: str, disk: Path | None) -> dict[str, Any]:
    """Answer the run until it ends; with a disk, that is full for a while in its middle."""
    filling: asyncio.Task[bool] | None = None
    async with asyncio.timeout(LONGEST):
        while True:
            try:
                if disk and not filling and len(await factory.events.read(run_id)) >= AT:
                    filling = asyncio.create_task(full(factory, disk))
                status = (await factory.services.run(run_id)).status
                for asked in await factory.approvals.pending(run_id) if status in WAITING else ():
                    await answer(factory, asked)
                if status in ENDED:
                    break
            except (psycopg.OperationalError, FactoryError, PoolTimeout) as error:
                print(f"a person is told: {type(error).__name__}: {error}", file=sys.stderr)
            await asyncio.sleep(0.1)
    found = await ended(factory, run_id, deaths=0)
    # Why a worker stopped, and how each confines what it runs, is said by as many as there were.
    told = sorted(event for event in map(repr, found.events) if not event.startswith(_OF_WORKERS))
    plain = dataclasses.asdict(found) | {"events": told, "model_calls": sorted(found.model_calls)}
    return plain | {"refused": bool(filling and await filling)}


async def full(factory: Factory, disk: Path) -> bool:
    """Fill the disk for a while; whether what could not be recorded was refused."""
    filler = await asyncio.to_thread(fill, disk)
    refused = False
    loop = asyncio.get_running_loop()
    until = loop.time() + FULL
    while loop.time() < until:
        try:
            # Larger than what is left of any page.
            await factory.submit("Small pages " + os.urandom(20_000).hex())
        except (psycopg.Error, FactoryError, PoolTimeout) as error:
            print(f"a submission is told: {type(error).__name__}: {error}", file=sys.stderr)
            refused = True
        else:
            raise AssertionError("it was accepted on a full disk")
        await asyncio.sleep(1)
    filler.unlink()
    return refused


async def main(folder: Path) -> None:
    """Two runs, and a crew of workers."""
    home = folder / "home"
    disk = home / "postgres"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(disk)], check=True)
    with OllamaServer() as server:
        server.brain = brain()
        settings: dict[str, Any] = {
            "home": home,
            "pack": "small",
            "pack_dirs": [Path(__file__).parent.parent / "packs"],
            "ollama_url": server.url,
            "lease_seconds": 1.5,
        }
        async with Factory.open(Settings(**settings)) as factory, Dispatch.open(factory):
            workers = [worker.work(settings) for _ in range(2)]
            try:
                calm = await play(factory, await factory.submit("Small pages"), None)
                disturbed = await play(factory, await factory.submit("Small pages"), disk)
                async with factory.db.pool.connection() as conn:
                    runs = len(await (await conn.execute("SELECT id FROM runs")).fetchall())
            finally:
                for each in workers:
                    each.kill()
                    each.join()
    refused = disturbed.pop("refused")
    calm.pop("refused")
    print(json.dumps({"undisturbed": calm, "disturbed": disturbed, "refused": refused, "runs": runs}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
