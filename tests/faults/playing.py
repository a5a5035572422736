"""One run of the small pipeline, driven by three workers to whom something happens, answered by a person."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from core.database import DatabaseUnavailable
from core.postgres import EmbeddedPostgres
from core.settings import Settings
from graph.lifecycle import ENDED, WAITING
from graph.queue.driving import Dispatch
from graph.runner import Factory
from tests.doubles.ollama_server import OllamaServer
from tests.faults import witness, worker
from tests.faults.crew import LEASE, Happening, Start, crew
from tests.faults.scenario import Ended, answer, ended
from tests.packs.brain import brain

PACKS = Path(__file__).parent.parent / "packs"
LONGEST = 180.0
"""Seconds that one run may take."""


@dataclass(frozen=True)
class Place:
    """Where the workers work: a factory on the small pack, with short leases, on a watched database."""

    settings: dict[str, Any]
    admin: str
    """How a superuser connects."""
    data: str
    """The data of the database server."""


@pytest.fixture
def place(
    ollama_server: OllamaServer,
    factory_env: Mapping[str, str],
    postgres: EmbeddedPostgres,
    database_name: str,
    tmp_path: Path,
) -> Place:
    """A place for the workers of a test."""
    ollama_server.brain = brain()
    admin = postgres.conninfo("admin", dbname=database_name)
    witness.install(admin)
    with psycopg.connect(admin) as conn:
        row = conn.execute("SHOW data_directory").fetchone()
    assert row is not None
    settings = {
        "home": tmp_path / "home",
        "database_url": factory_env["FACTORY_DATABASE_URL"],
        "pack": "small",
        "pack_dirs": [PACKS],
        "ollama_url": ollama_server.url,
        "lease_seconds": LEASE,
    }
    return Place(settings, admin, row[0])


class Missed(Exception):
    """The run was over before its moment came."""


@dataclass(frozen=True)
class Played:
    """What a run came to."""

    ended: Ended
    effects: tuple[str, ...]
    """All that it left outside its log: commits, tags, worktrees, questions, model calls, memories; one that
    happened twice stands here twice."""
    attempts: int
    """How often it was taken up."""
    at: int = 0
    """Events that it had when something happened to its worker."""
    overtaken: bool = False
    """Whether it was taken up again after that."""


async def play(
    place: Place,
    happens: Happening | None,
    seed: int,
    *,
    most: int = 70,
    lines: bool = False,
    start: Start = worker.work,
) -> Played:
    """Submit a run and answer its questions; at a random moment something happens to who drives it.

    The moment is a number of events, at most `most`. With `lines` the workers reach the database through
    wires.
    """
    chance = random.Random(seed)
    at, later, under = chance.randint(1, most), chance.uniform(0, 0.3), 0
    struck: asyncio.Task[Any] | None = None
    async with (
        Factory.open(Settings(**place.settings)) as factory,
        Dispatch.open(factory) as dispatch,
        crew(place.settings, place.data, lines=lines, start=start) as workers,
    ):
        run_id = await factory.submit("Small pages")
        async with asyncio.timeout(LONGEST):
            while True:
                try:
                    events = len(await factory.events.read(run_id))
                    if happens and struck is None and events >= at:
                        await asyncio.sleep(later)
                        if (driver := await workers.driver(factory, run_id)) is not None:
                            (n, under), at = driver, events
                            struck = asyncio.create_task(happens(workers, n))
                    if await _answered(factory, run_id):
                        break
                except (psycopg.OperationalError, DatabaseUnavailable, PoolTimeout):
                    pass  # a person, too, has to wait until the database is back
                await asyncio.sleep(0.05)
        if happens is not None and struck is None:
            raise Missed(f"the run ended before anything happened, at {at} events")
        if struck is not None:
            await struck
            await asyncio.sleep(2 * LEASE)  # what woke up does what it still can
        assert dispatch.failure(run_id) is None
        found = await _played(place, factory, run_id)
    return replace(found, at=at, overtaken=found.attempts > under)


async def _answered(factory: Factory, run_id: str) -> bool:
    """Answer what the run asks; whether it has ended."""
    status = (await factory.services.run(run_id)).status
    for asked in await factory.approvals.pending(run_id) if status in WAITING else ():
        await answer(factory, asked)
    return status in ENDED


async def _played(place: Place, factory: Factory, run_id: str) -> Played:
    seen = await asyncio.to_thread(witness.seen, place.admin, run_id)
    assert seen.by_the_overtaken == ()
    assert seen.unfenced == ()
    assert seen.checkpoints > 0
    found = await ended(factory, run_id, deaths=0)
    # Why a worker stopped is said, and may be said once more.
    told = frozenset(event for event in found.events if event[0] != "run.interrupted")
    return Played(replace(found, events=told), await _effects(factory, run_id), seen.attempts)


async def _effects(factory: Factory, run_id: str) -> tuple[str, ...]:
    run = await factory.services.run(run_id)
    folder = factory.settings.home / "projects" / run.project
    left: list[str] = []
    for command in (("log", "--format=%s", "main"), ("tag",), ("worktree", "list", "--porcelain")):
        said = await asyncio.to_thread(
            subprocess.check_output, ["git", "-C", str(folder / "repository"), *command], text=True
        )
        named = [line for line in said.splitlines() if command[0] != "worktree" or f"/{run_id}/" in line]
        left += [f"{command[0]} {line.replace(run_id, 'RUN')}" for line in named]
    async with factory.db.pool.connection() as conn:
        for query in (
            "SELECT concat_ws(' ', 'asked', kind, team, decision) it FROM approvals WHERE run_id = %s",
            "SELECT concat_ws(' ', 'heard', asker, target, status) it FROM clarifications WHERE run_id = %s",
            "SELECT 'called ' || key it FROM model_calls WHERE run_id = %s",
            """SELECT concat_ws(' ', 'remembered', b.name, m.text) it
               FROM memories m JOIN banks b ON b.id = m.bank JOIN projects p ON p.name = b.project
               JOIN runs r ON r.project_id = p.id WHERE r.id = %s""",
        ):
            cursor = await conn.execute(query.encode(), (run_id,))
            left += [row["it"].replace(run_id, "RUN") for row in await cursor.fetchall()]
    return tuple(sorted(left))


_calm: list[Played] = []


async def undisturbed(place: Place) -> Played:
    """What the run comes to where nothing happens; found out once."""
    if not _calm:
        _calm.append(await play(place, None, 0))
    return _calm[0]


async def compare(
    place: Place, happens: Happening, seed: int, *, lines: bool = False, start: Start = worker.work
) -> Played:
    """Have something happen; the run must come to what it comes to where nothing happens."""
    calm = await undisturbed(place)
    of = len(calm.ended.events)
    try:
        played = await play(place, happens, seed, most=int(0.85 * of), lines=lines, start=start)
    except Missed:  # between two looks
        played = await play(place, happens, seed, most=of // 2, lines=lines, start=start)
    named = getattr(happens, "__name__", "")
    print(f"moment {seed}: {named}, at {played.at} of {of} events; attempts {played.attempts}")
    assert played.ended == calm.ended
    assert played.effects == calm.effects
    return played
