"""What a run claimed stands when it is completed, once, and goes when the run is undone."""

from __future__ import annotations

import asyncio

import pytest

from memory.extraction.echoes import mark
from memory.records import SHARED
from tests.graph.conftest import OpenSmall
from tests.graph.writing import LIBRARY, REQUIREMENT, Writer, live, memories, recalled, run, told
from tests.packs.brain import result


@pytest.mark.parametrize("end", ["reject", "fail"])
async def test_what_a_failed_or_rejected_run_claimed_does_not_stand(open_small: OpenSmall, end: str) -> None:
    writer = Writer("The loan time is 21 days.")
    blocked = {"checker__report": lambda _: result("BLOCKED", blockers=["no"], confidence=1)}
    async with open_small(writer.rules(**(blocked if end == "fail" else {})), pack="tiny") as factory:
        run_id = await run(factory, approve_all=False)
        [question] = await factory.approvals.pending(run_id)
        bank = await (await memories(factory)).bank(LIBRARY, "writer")
        before = (await bank.recall("loan time")).hits
        assert before  # kept while the run was under way
        assert await factory.services.memory.standing(run_id, before) == list(before)
        assert await factory.services.memory.standing("another run", before) == []
        await factory.answer(question.id, "reject", "no", by="jan")
        await factory.drive(run_id)
        assert (await factory.services.run(run_id)).status in {"rejected", "failed"}
        assert await live(factory) == []
        [event] = await told(factory, run_id, "memory.taken_back")
        assert event.payload["ids"]


async def test_what_a_second_run_claimed_too_outlives_the_first_that_is_rejected(
    open_small: OpenSmall,
) -> None:
    writer = Writer("The loan time is 21 days.")
    async with open_small(writer.rules(), pack="tiny") as factory:
        first = await run(factory, approve_all=False)
        [question] = await factory.approvals.pending(first)
        second = await run(factory, "Publish it too: the loan time")
        assert (await factory.services.run(second)).status == "completed"
        assert (await live(factory)).count("The loan time is 21 days.") == 1
        await factory.answer(question.id, "reject", "no", by="jan")
        await factory.drive(first)
        assert "The loan time is 21 days." in await live(factory)
        bank = await (await memories(factory)).bank(LIBRARY, "writer")
        hits = (await bank.recall("loan time")).hits
        assert await factory.services.memory.standing("a third run", hits) == list(hits)
        third = await run(factory, "Publish it again: the loan time")
        assert {hit.memory.source.run_id for hit in hits} == {second}
        assert f"The loan time is 21 days. — {second}" in recalled(writer.briefs[-1])
        assert (await factory.services.run(third)).status == "completed"
        assert len(await bank.list(past=True)) == len({*await live(factory)}) * 2


async def test_a_stage_that_was_rolled_back_leaves_nothing_and_what_it_superseded_holds_again(
    open_small: OpenSmall,
) -> None:
    writer = Writer("The loan time is 21 days.")
    async with open_small(writer.rules(), pack="tiny") as factory:
        await run(factory)
        writer.text = "The loan time is 28 days."
        writer.facts = [writer.text]
        second = await run(factory, "Publish it again: the loan time changes")
        assert "The loan time is 28 days." in await live(factory)
        await factory.roll_back(second, "plan", by="jan")
        assert "The loan time is 28 days." not in await live(factory)
        assert "The loan time is 21 days." in await live(factory)


@pytest.mark.slow
async def test_what_is_recalled_and_reported_again_does_not_make_a_bank_grow(
    open_small: OpenSmall,
) -> None:
    writer = Writer()
    async with open_small(writer.rules(), pack="tiny") as factory:
        await run(factory)
        opened = await memories(factory)
        bank, shared = await opened.bank(LIBRARY, "writer"), await opened.bank(LIBRARY, SHARED)
        before = sorted(await live(factory)), await shared.list()
        for number in range(3):
            writer.facts = [
                line.format(hit.memory.text)
                for hit in (await bank.recall("loan")).hits
                for line in (
                    hit.memory.text,
                    f"{mark(hit.memory.id)} {hit.memory.text}",
                    f"Fact: {hit.memory.text}",
                )
            ]
            await run(factory, f"Publish it again, number {number}, about the loan")
        assert (sorted(await live(factory)), await shared.list()) == before


@pytest.mark.slow
async def test_two_runs_that_write_at_once_leave_each_fact_once(open_small: OpenSmall) -> None:
    writer = Writer()
    async with open_small(writer.rules(), pack="tiny") as factory:
        runs = [await factory.submit(REQUIREMENT, project=LIBRARY, approve_all=True) for _ in range(2)]
        await asyncio.gather(*(factory.drive(run_id) for run_id in runs))
        texts = await live(factory)
        assert sorted(texts) == sorted(set(texts))
        assert "A loan lasts 21 days." in texts
