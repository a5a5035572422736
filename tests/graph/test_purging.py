"""What a run that is over kept is removed when its time has come, and the proof of what happened stays."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core import faults
from core.audit import verify
from core.texts import MARK
from graph import control, purging
from graph.purging import PurgeRefused, RunPurged
from graph.runner import Factory
from tests.faults.scenario import answer
from tests.graph.conftest import OpenSmall

SECRET = "Ferns of the Carpathians"


async def finished(factory: Factory) -> str:
    run_id = await factory.submit(SECRET, project="small")
    outcome = await factory.drive(run_id)
    while outcome.waiting:
        for asked in outcome.waiting:
            await answer(factory, asked)
        outcome = await factory.drive(run_id)
    assert outcome.status == "completed"
    return run_id


async def cancelled(factory: Factory) -> str:
    run_id = await factory.submit(SECRET, project="small")
    await control.cancel(factory.services, run_id, by="ana", reason="")
    return run_id


async def standing(factory: Factory, run_id: str) -> dict[str, int]:
    """How many rows of each table hold something of the run's words, or what it could go on from."""
    counts: dict[str, int] = {}
    async with factory.db.pool.connection() as conn:
        for table, run, text in (
            ("checkpoints", "thread_id", "''"),
            ("checkpoint_blobs", "thread_id", "''"),
            ("checkpoint_writes", "thread_id", "''"),
            ("runs", "id", SECRET),
            ("approvals", "run_id", "Carpathians"),
            ("events", "run_id", SECRET),
            ("event_texts", "run_id", SECRET),
        ):
            where = "true" if text == "''" else "to_jsonb(t)::text LIKE %(text)s"
            cursor = await conn.execute(
                f"SELECT count(*) AS n FROM {table} t WHERE {run} = %(run)s AND {where}",  # pyright: ignore
                {"run": run_id, "text": f"%{text}%"},
            )
            row = await cursor.fetchone()
            assert row is not None
            counts[table] = row["n"]
    return counts


async def test_what_a_run_said_and_could_go_on_from_is_removed_and_its_chain_is_whole(
    open_small: OpenSmall,
) -> None:
    async with open_small(retention_days=0) as factory:
        run_id = await finished(factory)
        before = await standing(factory, run_id)
        assert min(before["checkpoints"], before["runs"], before["event_texts"]) > 0
        written = await factory.events.read(run_id)
        done = await purging.purge(factory.services, run_id, by="ana", reason="its year is over")
        assert done.texts > 0
        assert done.rows > before["checkpoints"]
        assert not any((await standing(factory, run_id)).values())

        report = await verify(factory.db, run_id)
        assert report.broken is None
        log = await factory.events.read(run_id)
        assert [event.hash for event in log[: len(written)]] == [event.hash for event in written]
        (told,) = (event.payload for event in log if event.kind == "run.purged")
        assert (told["by"], told["reason"]) == ("ana", "its year is over")
        summary, run = await factory.summary(run_id), await factory.services.run(run_id)
        assert (summary.status, run.requirement, run.purged) == ("completed", MARK, True)
        assert summary.tag is not None
        await _nothing_goes_on_from(factory, run_id)


async def _nothing_goes_on_from(factory: Factory, run_id: str) -> None:
    with pytest.raises(RunPurged):
        await factory.roll_back(run_id, "plan", by="ana")
    with pytest.raises(RunPurged):
        await factory.retry(run_id)
    change = await factory.services.run(await factory.change("small", "A page about mosses"))
    assert change.change is not None
    assert change.change["history"] == []


async def test_a_run_is_kept_until_its_date_and_while_it_is_not_over(open_small: OpenSmall) -> None:
    async with open_small(retention_days=30) as factory:
        run_id, live = await cancelled(factory), await factory.submit("Another page", project="small")
        before = await standing(factory, run_id)
        with pytest.raises(PurgeRefused, match="is kept until"):
            await purging.purge(factory.services, run_id, by="ana")
        with pytest.raises(PurgeRefused, match="has not ended"):
            await purging.purge(factory.services, live, by="ana")
        assert await standing(factory, run_id) == before
        assert await factory.events.read(run_id, kinds=["run.purged"]) == []
        run = await factory.services.run(run_id)
        assert run.ended_at is not None
        assert purging.kept_until(run, 30) == run.ended_at + timedelta(days=30)


def _dies_when_marked(name: str) -> None:
    if name == "purge.marked":
        raise KeyboardInterrupt


async def test_a_purge_that_a_crash_cut_off_is_finished_by_the_next(
    open_small: OpenSmall, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_small(retention_days=0) as factory:
        run_id = await cancelled(factory)
        with monkeypatch.context() as broken:
            broken.setattr(faults, "point", _dies_when_marked)
            with pytest.raises(KeyboardInterrupt):
                await purging.purge(factory.services, run_id, by="ana")
        assert (await standing(factory, run_id))["event_texts"] > 0
        assert (await purging.purge(factory.services, run_id, by="ben")).texts > 0
        again = await purging.purge(factory.services, run_id, by="ben")
        assert (again.texts, again.rows, again.worktrees) == (0, 0, 0)
        (told,) = await factory.events.read(run_id, kinds=["run.purged"])
        assert told.payload["by"] == "ana"
