"""A run goes on without its memory, and without the model or the embedder behind it."""

from __future__ import annotations

import json
from pathlib import Path
from secrets import token_hex
from string import ascii_lowercase
from typing import Any

import pytest

from tests.doubles.ollama_server import OllamaServer
from tests.graph.conftest import OpenSmall
from tests.graph.test_memory_answers import grants_recall
from tests.graph.writing import LIBRARY, Writer, live, memories, recalled, run, told
from tests.intruder import Admin
from tests.packs.brain import Chat, read_file, write
from tests.sampling import some


async def test_a_project_without_memory_keeps_and_recalls_nothing(
    open_small: OpenSmall, tmp_path: Path
) -> None:
    file = tmp_path / "home" / "projects" / LIBRARY / "project.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[memory]\nenabled = false\n")
    writer = Writer()
    async with open_small(writer.rules(), pack="tiny") as factory:
        first, second = await run(factory), await run(factory, "Publish it again about loans")
        assert recalled(writer.briefs[1]) == ""
        for run_id in (first, second):
            assert not [e for e in await factory.events.read(run_id) if e.kind.startswith("memory.")]
        assert await (await memories(factory)).banks(LIBRARY) == []


async def test_an_embedder_that_is_down_costs_the_meaning_and_not_the_run(
    open_small: OpenSmall, ollama_server: OllamaServer
) -> None:
    writer = Writer()
    async with open_small(writer.rules(), pack="tiny") as factory:
        first = await run(factory)
        assert (await memories(factory)).embedder.dimension == 768

        def down(_: list[str]) -> dict[str, Any]:
            return {"embeddings": []}

        ollama_server.embed = down
        second = await run(factory, "Publish it again about loans and days")
        assert (await factory.services.run(second)).status == "completed"
        assert f"A loan lasts 21 days. — {first}" in recalled(writer.briefs[1])
        assert "Not everything could be searched" in recalled(writer.briefs[1])
        [event] = [e for e in await told(factory, second, "memory.recalled") if e.team == "writer"]
        assert "gave no embedding" in str(event.payload["degraded"])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("There is nothing to keep here.", "no JSON"),
        ('{"memory": [{"id": "0", "text": "A loan', "no whole JSON"),
        ('{"facts": []}', "no list"),
    ],
)
async def test_a_models_unreadable_reply_is_an_event_and_what_the_rules_found_is_kept(
    open_small: OpenSmall, ollama_server: OllamaServer, said: str, why: str
) -> None:
    writer = Writer()
    ollama_server.fail("ignore-format")
    async with open_small(writer.rules(writer__remember=lambda _: said), pack="tiny") as factory:
        run_id = await run(factory)
        [failed] = await told(factory, run_id, "memory.extraction_failed")
        assert why in str(failed.payload["why"])
        texts = await factory.events.texts(run_id, [failed.seq])
        assert texts[failed.seq, "raw"].value == said
        assert "Database: SQLite, in one file." in await live(factory)
        assert (await factory.services.run(run_id)).status == "completed"


@pytest.mark.parametrize(
    "said",
    some(['{"memory": ["A loan lasts 21 days."]}', '["A loan lasts 21 days."]', '{"memory": []}'], of=3),
)
async def test_a_models_odd_reply_that_can_be_read_is_no_failure(
    open_small: OpenSmall, ollama_server: OllamaServer, said: str
) -> None:
    writer = Writer()
    ollama_server.fail("ignore-format")
    async with open_small(writer.rules(writer__remember=lambda _: said), pack="tiny") as factory:
        run_id = await run(factory)
        assert await told(factory, run_id, "memory.extraction_failed") == []


async def test_an_odd_interface_costs_neither_the_stage_nor_its_other_memories(
    open_small: OpenSmall,
) -> None:
    routes = ["/loans", "/a\0b", "/\ud800", f"/{token_hex(1_500)}", "/jan@example.com"]
    document = {"openapi": "3.1.0", "paths": {route: {"get": {"summary": "x" * 300}} for route in routes}}
    columns = ", ".join(f"{letter * 650} TEXT" for letter in ascii_lowercase)
    writer = Writer()

    def work(chat: Chat) -> str:
        odd = write("docs/api/openapi.json", json.dumps(document))
        odd += write("docs/schema.sql", f"CREATE TABLE wide ({columns});")
        return writer.work(chat) + (odd if chat.turn == 0 else "")

    async with open_small(writer.rules(writer__work=work), pack="tiny") as factory:
        run_id = await run(factory)
        # The checks of the merged project refuse such an interface; the stage had left its memories by then.
        assert any(event.team == "writer" for event in await told(factory, run_id, "memory.retained"))
        assert await told(factory, run_id, "memory.failed") == []
        kept = await live(factory)
        assert "A loan lasts 21 days." in kept
        assert len([text for text in kept if text.startswith("`GET ")]) == len(routes)
        assert any(text.startswith("Table wide: ") for text in kept)
        assert not [text for text in kept if "jan@" in text or "no longer" in text]


async def test_an_operation_of_a_large_interface_is_not_said_to_be_gone(open_small: OpenSmall) -> None:
    def document(first: int) -> str:
        routes = (f'"/r{number:03}": {{"get": {{}}}}' for number in range(first, 451))
        return f'{{"openapi": "3.1.0", "paths": {{{", ".join(routes)}}}}}'

    writer = Writer()

    def work(chat: Chat) -> str:
        second = len(writer.briefs) > 1 or "again" in chat.text
        if chat.turn == 0 and second:
            return writer.work(chat) + read_file("docs/openapi.json")
        odd = write("docs/openapi.json", document(1 if second else 101))
        return writer.work(chat) + (odd if chat.turn == (1 if second else 0) else "")

    async with open_small(writer.rules(writer__work=work), pack="tiny") as factory:
        first = await run(factory)
        second = await run(factory, "Publish it again, with a hundred operations more")
        assert "`GET /r450` is an operation" in await live(factory)
        assert not [text for text in await live(factory) if "no longer" in text]
        kept, later = [
            event.payload
            for run_id in (first, second)
            for event in await told(factory, run_id, "memory.retained")
            if event.team == "writer"
        ]
        assert ("left_out" in kept, int(str(later["left_out"])) >= 50) == (False, True)


async def test_tables_of_memory_that_are_broken_cost_the_memory_and_not_the_run(
    open_small: OpenSmall, intruder: Admin
) -> None:
    writer = Writer()
    intruder.execute("ALTER TABLE factory.mental_models RENAME TO lost")
    async with open_small(writer.rules(), pack="tiny") as factory:
        run_id = await run(factory)
        assert (await factory.services.run(run_id)).status == "completed"
        failed = await told(factory, run_id, "memory.failed")
        assert {str(event.payload["at"]) for event in failed} == {"brief", "retain"}
        assert {str(event.payload["why"]) for event in failed} == {
            "the database refused a statement (UndefinedTable)"
        }
        assert "Database: SQLite, in one file." in await live(factory)


async def test_a_team_that_asks_a_broken_memory_is_told_so_and_works_on(
    open_small: OpenSmall, intruder: Admin, tmp_path: Path
) -> None:
    asked: list[str] = []

    def work(chat: Chat) -> str:
        if chat.turn == 0:
            return '```call recall_memory\n{"query": "how long is a loan?"}\n```\n'
        asked.append(chat.last)
        return writer.work(chat)

    writer = Writer()
    packs = grants_recall(tmp_path)
    async with open_small(writer.rules(writer__work=work), pack="tiny", pack_dirs=[packs]) as factory:
        intruder.execute("ALTER TABLE factory.spaces RENAME TO lost")
        run_id = await run(factory)
        assert (await factory.services.run(run_id)).status == "completed"
        said = "the database refused a statement (UndefinedTable)"
        assert f"nothing could be recalled: {said}" in asked[0]
        failed = [e for e in await told(factory, run_id, "memory.failed") if e.team == "writer"]
        assert [event.payload["at"] for event in failed] == ["brief", "tool", "retain"]
        assert {str(event.payload["why"]) for event in failed} == {said}


async def test_a_run_ends_beside_a_broken_memory(open_small: OpenSmall, intruder: Admin) -> None:
    """Whichever table is broken: one that is only written to, or that of all banks."""
    async with open_small(Writer().rules(), pack="tiny") as factory:
        await run(factory)
        for table in ("postings", "banks"):
            intruder.execute(f"ALTER TABLE factory.{table} RENAME TO lost")  # type: ignore[arg-type]
            run_id = await run(factory, f"Publish a text about {table}", approve_all=False)
            [question] = await factory.approvals.pending(run_id)
            await factory.answer(question.id, "reject", "no", by="jan")
            await factory.drive(run_id)
            assert (await factory.services.run(run_id)).status == "rejected"
            assert len(await told(factory, run_id, "run.ended")) == 1
            failed = await told(factory, run_id, "memory.failed")
            # Where nothing could be kept, nothing is to be taken back.
            assert any(event.payload["at"] == "end" for event in failed) == (table == "banks")
            intruder.execute(f"ALTER TABLE factory.lost RENAME TO {table}")  # type: ignore[arg-type]
