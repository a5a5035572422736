"""A text that is forgotten leaves the rows and checkpoints of runs that are over, and nothing else does."""

from __future__ import annotations

import ormsgpack
import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from core import migrations
from graph import forgetting
from graph.forgetting import WorkingCopies
from graph.runner import Factory
from memory.audit.phrases import Phrase
from tests.faults.test_kill_memory import everything
from tests.graph.conftest import OpenSmall
from tests.graph.writing import LIBRARY, Writer, run
from tests.intruder import Admin

SAID = "A loan lasts 21 days."


async def objects(factory: Factory) -> dict[str, str]:
    """What LangGraph reads of each checkpoint's values, as Python shows it."""
    serde = JsonPlusSerializer()
    async with factory.db.pool.connection() as connection:
        found = await connection.execute(
            "SELECT channel || version AS place, type, blob FROM factory.checkpoint_blobs"
            " WHERE blob IS NOT NULL UNION ALL"
            " SELECT checkpoint_id || task_id || idx, type, blob FROM factory.checkpoint_writes"
        )
        rows = await found.fetchall()
    return {row["place"]: repr(serde.loads_typed((row["type"], row["blob"]))) for row in rows}


async def test_a_run_that_is_over_forgets_and_can_be_rolled_back(open_small: OpenSmall) -> None:
    async with open_small(Writer(SAID).rules(), pack="tiny") as factory:
        run_id = await run(factory, f"Publish a text about loans. {SAID}")
        before = await objects(factory)
        copies = WorkingCopies()
        await copies.take_out(factory.db, [Phrase(SAID)])
        assert list(copies.cut) == [run_id]
        assert copies.left == []
        after = await objects(factory)
        assert sum(SAID in text for text in before.values()) > 1
        # Every object is what it was: a message a message, with everything but the text.
        assert after == {place: text.replace(SAID, "[forgotten].") for place, text in before.items()}, (
            "LangGraph reads what it wrote"
        )
        assert "[forgotten]" in (await factory.services.run(run_id)).requirement
        again = WorkingCopies()
        await again.take_out(factory.db, [Phrase(SAID)])
        assert (again.cut, again.left) == ({}, [])
        await factory.roll_back(run_id, "plan", by="jan")
        assert (await factory.drive(run_id)).status == "completed"


async def test_checkpoints_that_an_older_version_forgot_in_are_mended(
    open_small: OpenSmall, intruder: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_small(Writer(SAID).rules(), pack="tiny") as factory:
        run_id = await run(factory, f"Publish a text about loans. {SAID}")
        before = await objects(factory)
        with monkeypatch.context() as as_then:
            options = ormsgpack.OPT_NON_STR_KEYS | ormsgpack.OPT_REPLACE_SURROGATES
            as_then.setattr(forgetting, "_OPTIONS", options)
            await WorkingCopies().take_out(factory.db, [Phrase(SAID)])
        spoiled = await objects(factory)
        expected = {place: text.replace(SAID, "[forgotten].") for place, text in before.items()}
        assert spoiled != expected
        mend = migrations.script_directory().get_revision("0030").module.mend
        assert mend(intruder) == sum(spoiled[place] != text for place, text in expected.items())
        assert await objects(factory) == expected
        assert mend(intruder) == 0
        await factory.roll_back(run_id, "plan", by="jan")
        assert (await factory.drive(run_id)).status == "completed"


async def test_a_run_that_is_not_over_keeps_its_copy_and_is_named(open_small: OpenSmall) -> None:
    async with open_small(Writer(SAID).rules(), pack="tiny") as factory:
        run_id = await run(factory, approve_all=False)
        before = await everything(factory)
        copies = WorkingCopies()
        await copies.take_out(factory.db, [Phrase("a LOAN lasts 21 days")])
        assert (copies.cut, copies.left) == ({}, [run_id])
        assert await everything(factory) == before


async def test_a_phrase_in_another_script_is_found_without_a_word_to_look_for(open_small: OpenSmall) -> None:
    said = "ระยะเวลาการยืมหนังสือคือยี่สิบเอ็ดวัน"
    async with open_small(Writer().rules(), pack="tiny") as factory:
        run_id = await run(factory, f"Publish a text about loans. {said}")
        copies = WorkingCopies()
        await copies.take_out(factory.db, [Phrase(said)])
        assert list(copies.cut) == [run_id]
        assert said not in (await factory.services.run(run_id)).requirement
        assert LIBRARY in (await factory.services.run(run_id)).project
