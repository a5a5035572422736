"""Who was overtaken while it stood still has no more effect, whatever the effect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import fencing
from core.fencing import Fence, Fenced
from graph.holds import Hold
from graph.lifecycle import move
from graph.runner import Factory
from tests.graph.conftest import OpenSmall
from workspace.locks import FileLock

Effect = Callable[[Factory, str], Awaitable[Any]]


@asynccontextmanager
async def _overtaken(factory: Factory, run_id: str) -> AsyncIterator[Hold]:
    """Inside, effects are those of a holder that slept while somebody else took the run up."""
    async with factory.services.holds.hold(run_id) as hold:
        assert hold
    async with factory.services.holds.hold(run_id) as newer:
        assert newer
        with hold.entered():
            yield hold


async def _event(factory: Factory, run_id: str) -> None:
    await factory.events.append(run_id, "a.b", {"n": 1}, key="late")


async def _status(factory: Factory, run_id: str) -> None:
    await move(factory.db, factory.events, run_id, "governance_analysis")


async def _question(factory: Factory, run_id: str) -> None:
    await factory.approvals.request(
        run_id, kind="review", key="late", title="t", question="q", allowed=("approve",)
    )


async def _lease(factory: Factory, run_id: str) -> None:
    async with factory.db.pool.connection() as conn:
        await conn.execute(
            """INSERT INTO leases (run_id, stage, project, team, paths, taken_at, expires_at)
               VALUES (%s, 's', 'p', 't', '{}', now(), now())""",
            (run_id,),
        )


async def _reservation(factory: Factory, run_id: str) -> None:
    async with factory.db.pool.connection() as conn:
        await conn.execute("DELETE FROM budget_reservations WHERE run_id = %s", (run_id,))


async def _ledger(factory: Factory, run_id: str) -> None:
    async with factory.db.pool.connection() as conn:
        await conn.execute("UPDATE model_calls SET cost_usd = 0 WHERE run_id = %s", (run_id,))


async def _memory(factory: Factory, run_id: str) -> None:
    async with factory.db.pool.connection() as conn:
        await conn.execute("SELECT make_bank(%s, 'late')", (run_id,))


async def _checkpoint(factory: Factory, run_id: str) -> None:
    saver: Any = factory.checkpointer
    config = {"configurable": {"thread_id": run_id, "checkpoint_ns": ""}}
    empty = {"id": "1", "v": 4, "ts": "", "channel_values": {}, "channel_versions": {}, "versions_seen": {}}
    await saver.aput(config, empty, {}, {})


async def _writes(factory: Factory, run_id: str) -> None:
    saver: Any = factory.checkpointer
    config = {"configurable": {"thread_id": run_id, "checkpoint_ns": "", "checkpoint_id": "1"}}
    await saver.aput_writes(config, [("a", 1)], "task")


async def _branch(factory: Factory, run_id: str) -> None:
    repository = await factory.services.repository(run_id)
    await repository.begin_run(run_id)


async def _worktree(factory: Factory, run_id: str) -> None:
    repository = await factory.services.repository(run_id)
    tree = await repository.open_stage(run_id, "scout", base="main")
    await tree.snapshot("late")


async def _mail(factory: Factory, run_id: str) -> None:
    repository = await factory.services.repository(run_id)
    await repository.post(run_id, {".factory/mail/x.md": b"late"}, message="Mail: late")


EFFECTS: Mapping[str, Effect] = {
    "an event": _event,
    "a status": _status,
    "a question": _question,
    "a lease": _lease,
    "a reservation": _reservation,
    "the ledger": _ledger,
    "a memory": _memory,
    "a checkpoint": _checkpoint,
    "a checkpoint's writes": _writes,
    "a branch": _branch,
    "a snapshot": _worktree,
    "mail": _mail,
}


@pytest.mark.parametrize("effect", EFFECTS.values(), ids=list(EFFECTS))
async def test_who_was_overtaken_is_refused(open_small: OpenSmall, effect: Effect) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
        before = await _all(factory, run_id)
        async with _overtaken(factory, run_id):
            with pytest.raises(Fenced, match="taken up by somebody else"):
                await effect(factory, run_id)
        assert await _all(factory, run_id) == before
        with fencing.entered(Fence("another", 1)), pytest.raises(Fenced):  # nobody ever held it
            await factory.events.append(run_id, "a.b")
        # The same connections serve others as before.
        await factory.events.append(run_id, "a.b")


async def test_who_holds_a_run_has_its_effects_and_other_runs_go_on_beside(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        one, other = [await factory.submit("Small pages", pipeline="one") for _ in range(2)]
        async with _overtaken(factory, one):
            async with factory.services.holds.hold(other) as hold:
                assert hold
                with hold.entered():
                    await factory.events.append(other, "a.b")
            with pytest.raises(Fenced):
                await factory.events.append(one, "a.b")
        async with factory.services.holds.hold(one) as hold:
            assert hold
            with hold.entered():
                assert (await factory.events.append(one, "a.b")).kind == "a.b"


async def test_a_take_over_waits_for_no_transaction_of_a_sleeper(
    open_small: OpenSmall, database_url: str
) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
        async with factory.services.holds.hold(run_id) as hold:
            assert hold
        with psycopg.connect(database_url) as asleep:  # in the middle of an effect, for ever
            asleep.execute("SELECT set_config('factory.fence', %s, false)", (str(hold.fence),))
            asleep.execute("UPDATE factory.leases SET files = '{}'")
            async with asyncio.timeout(30), factory.services.holds.hold(run_id) as newer:
                assert newer
                assert newer.fence.attempt == 2
            with pytest.raises(psycopg.OperationalError):
                asleep.execute("SELECT 1")


async def test_a_worktree_is_not_shared_with_a_holder_that_may_live(
    open_small: OpenSmall, tmp_path: Path
) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
        repository = await factory.services.repository(run_id)
        await repository.begin_run(run_id)
        with fencing.entered(Fence(run_id, 1, 0)):
            old = await repository.open_stage(run_id, "scout")
            old.files.write("docs/a.md", "kept")
            kept = await old.snapshot("One")
        with fencing.entered(Fence(run_id, 2, 1)):
            new = await repository.open_stage(run_id, "scout")
            await new.restore(kept)
            assert new.path != old.path
            assert new.base == old.base
            old.files.write("docs/b.md", "late")
            assert sorted(new.files.list()) == ["docs/a.md"]
            assert await repository.open_stages(run_id) == ["scout"]
            await repository.close_stage(new)
        assert not old.path.exists()
        assert await repository.open_stages(run_id) == []


async def test_a_sleeper_that_was_overtaken_keeps_nobody_from_the_repository(tmp_path: Path) -> None:
    mark, lock = tmp_path / "fences" / "x", tmp_path / "lock"
    fencing.set_mark(mark, 1)
    asleep = FileLock(lock)
    with fencing.entered(Fence("x", 1, 0, mark)):
        held = asleep.held()
        await held.__aenter__()
    waiting = asyncio.create_task(_hold(FileLock(lock)))
    done, _ = await asyncio.wait({waiting}, timeout=1.3)
    assert not done  # it is still alive, for all that anybody knows
    fencing.set_mark(mark, 2)
    fencing.set_mark(mark, 1)  # an older one never takes the place of a newer one
    await asyncio.wait_for(waiting, 30)
    with fencing.entered(Fence("x", 1, 0, mark)), pytest.raises(Fenced):
        fencing.check()
    await held.__aexit__(None, None, None)
    await asyncio.wait_for(_hold(FileLock(lock)), 30)


async def _hold(lock: FileLock) -> None:
    async with lock.held():
        pass


async def _all(factory: Factory, run_id: str) -> tuple[Any, ...]:
    run = await factory.services.run(run_id)
    async with factory.db.pool.connection() as conn:
        cursor = await conn.execute(
            """SELECT (SELECT count(*) FROM events WHERE run_id = %(run)s AND kind <> 'a.b') AS events,
                      (SELECT count(*) FROM approvals) AS approvals, (SELECT count(*) FROM leases) AS leases,
                      (SELECT count(*) FROM checkpoints) AS checkpoints,
                      (SELECT count(*) FROM checkpoint_writes) AS writes""",
            {"run": run_id},
        )
        row = await cursor.fetchone()
    repository = await factory.services.repository(run_id)
    return run.status, row, await repository.runs()
