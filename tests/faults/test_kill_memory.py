"""What memory takes back, supersedes and forgets survives SIGKILL: said again, it is whole, and told once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from core.audit import verify
from core.events import Event
from core.settings import Settings
from graph.runner import Factory
from memory.extraction.echoes import mark
from memory.lineage.promotion import promote
from memory.records import SHARED
from tests.cli.process import Process
from tests.doubles.ollama_server import OllamaServer
from tests.faults import worker
from tests.graph.writing import LIBRARY, REQUIREMENT, Writer, live, memories, run
from tests.packs.brain import RULES, brain
from tests.sampling import some

PACKS = Path(__file__).parent.parent / "packs"
OLD, NEW = "The loan time is 21 days.", "The loan time is 28 days."


@pytest.fixture
def writer(ollama_server: OllamaServer) -> Writer:
    writer = Writer(OLD)
    ollama_server.brain = brain({**RULES, **writer.rules()})
    return writer


@pytest.fixture
def tiny(ollama_server: OllamaServer, factory_env: Mapping[str, str], tmp_path: Path) -> dict[str, Any]:
    return {
        "home": tmp_path / "home",
        "database_url": factory_env["FACTORY_DATABASE_URL"],
        "pack": "tiny",
        "pack_dirs": [PACKS],
        "ollama_url": ollama_server.url,
    }


async def changing(factory: Factory, writer: Writer, *, approve_all: bool) -> str:
    """A second run, which says the new loan time, recorded and not yet driven."""
    writer.text, writer.facts = NEW, [NEW]
    again = "Publish it again: the loan time changes"
    return await factory.submit(again, project=LIBRARY, approve_all=approve_all)


async def dies(settings: dict[str, Any], run_id: str, point: str) -> None:
    code = await asyncio.to_thread(worker.drive, settings, run_id, crash_at=point)
    assert code == -9


async def the_event(factory: Factory, run_id: str, kind: str) -> Event:
    assert (await verify(factory.db)).ok
    [event] = await factory.events.read(run_id, kinds=[kind])
    return event


async def texts_of(factory: Factory, ids: Any) -> set[str]:
    return {(await (await memories(factory)).get(one)).text for one in ids}


async def test_what_a_rejected_run_claimed_is_taken_back_and_told_though_its_driver_dies(
    tiny: dict[str, Any], writer: Writer
) -> None:
    async with Factory.open(Settings(**tiny)) as factory:
        await run(factory)
        second = await changing(factory, writer, approve_all=False)
        await factory.drive(second)
        assert NEW in await live(factory)
        [question] = await factory.approvals.pending(second)
        await factory.answer(question.id, "reject", "no", by="jan")
        await dies(tiny, second, "memory.taken_back")
        assert (await factory.drive(second)).status == "rejected"
        assert OLD in await live(factory)
        assert NEW not in await live(factory)
        event = await the_event(factory, second, "memory.taken_back")
        assert NEW in await texts_of(factory, event.payload["ids"])
        assert OLD in await texts_of(factory, event.payload["restored"])


async def test_a_rollback_that_dies_at_the_memory_takes_it_back_and_tells_it(
    tiny: dict[str, Any], writer: Writer
) -> None:
    async with Factory.open(Settings(**tiny)) as factory:
        await run(factory)
        second = await changing(factory, writer, approve_all=True)
        await factory.drive(second)
        rolled = asyncio.to_thread(worker.roll_back, tiny, second, "plan", crash_at="memory.taken_back")
        assert await rolled == -9
        await factory.roll_back(second, "plan", by="Ada")
        assert OLD in await live(factory)
        assert NEW not in await live(factory)
        event = await the_event(factory, second, "memory.taken_back")
        assert OLD in await texts_of(factory, event.payload["restored"])


@pytest.mark.parametrize("point", ["retain.outdated", "memory.taken_back"])
async def test_a_stage_killed_while_it_supersedes_tells_what_gave_way_and_what_was_made_of_it(
    point: str, tiny: dict[str, Any], writer: Writer
) -> None:
    writer.text = OLD + " Nobody pays for a tool that is a day late."  # a sentence without a subject
    writer.facts = [OLD, "Nobody pays for a tool that is a day late."]
    async with Factory.open(Settings(**tiny)) as factory:
        await run(factory)
        opened = await memories(factory)
        bank = await opened.bank(LIBRARY, "writer")
        for memory in await bank.list():
            if memory.text in writer.facts:
                await promote(opened, LIBRARY, memory.id, by="jan")
        assert set(await live(factory, SHARED)) == set(writer.facts)
        gone = set(writer.facts)
        second = await changing(factory, writer, approve_all=True)
        await dies(tiny, second, point)
        assert (await factory.drive(second)).status == "completed"
        assert not gone & set(await live(factory, SHARED))
        event = await the_event(factory, second, "memory.taken_back")
        assert await texts_of(factory, event.payload["ids"]) == gone
        told = await factory.events.read(second, kinds=["memory.retained"])
        superseded = [event.payload["superseded"] for event in told if event.team == "writer"]
        assert gone <= await texts_of(factory, *superseded)


def factory_command(settings: Mapping[str, Any], *words: str, crash_at: str = "") -> int:
    """The exit code of a command, as a person gives it."""
    env = {
        **worker.environment(crash_at),
        "FACTORY_HOME": str(settings["home"]),
        "FACTORY_DATABASE_URL": settings["database_url"],
    }
    return Process(words, env=env, folder=Path.cwd()).ended().returncode


@pytest.mark.parametrize(
    "point",
    some(
        [
            "memory.elsewhere",
            "audit.cut#2",
            "memory.elsewhere#2",
            "audit.cut",
            "event.append",
            "memory.forgetting",
        ],
        of=6,
    ),
)
async def test_a_forgetting_that_is_killed_and_said_again_leaves_the_text_nowhere(
    point: str, tiny: dict[str, Any], writer: Writer
) -> None:
    async with Factory.open(Settings(**tiny)) as factory:
        run_id = await run(factory, REQUIREMENT)
        bank = await (await memories(factory)).bank(LIBRARY, "writer")
        memory = next(memory for memory in await bank.list() if memory.text == OLD)
        assert OLD in await everything(factory)
        said = ("memory", "forget", mark(memory.id), "--reason", "asked to", "--yes")
        died = await asyncio.to_thread(factory_command, tiny, *said, crash_at=point)
        assert died == -9
        assert (await verify(factory.db)).ok
        assert await asyncio.to_thread(factory_command, tiny, *said) == 0
        assert OLD not in await everything(factory)
        assert (await (await memories(factory)).get(memory.id)).forgotten_at
        assert memory.id in (await the_event(factory, run_id, "memory.forgotten")).payload["ids"]  # pyright: ignore[reportOperatorIssue]


async def everything(factory: Factory) -> str:
    """All rows in which a text of a memory may stand."""
    tables = ("memories", "mental_models", "event_texts", "events", "embeddings", "additions", "checkpoints")
    read = [f"SELECT t::text AS row FROM factory.{name} t" for name in tables]
    read += [
        f"SELECT encode(blob, 'escape') AS row FROM factory.checkpoint_{name} WHERE blob IS NOT NULL"
        for name in ("blobs", "writes")
    ]
    async with factory.db.pool.connection() as connection:
        found = [await (await connection.execute(one)).fetchall() for one in read]  # pyright: ignore[reportArgumentType]
    return "\n".join(row["row"] for rows in found for row in rows)
