"""A run is cancelled, paused and resumed from any process; the one that drives it obeys at once."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from core import clock
from core.errors import NotFound
from graph import control
from graph.runner import Factory
from graph.wanted import RunOver
from tests.graph.conftest import OpenSmall
from tests.packs.brain import Chat, write

_MARK = f"8{os.getpid()}"  # of this process: others test beside it


def _sleeps(_: Chat, seconds: int = 60) -> str:
    return f'I wait.\n\n```call bash\n{{"command": "sleep {_MARK}", "seconds": {seconds}}}\n```\n'


def _asleep() -> int:
    """How many of the sandbox's sleepers live."""
    return len(subprocess.run(["pgrep", "-f", f"^sleep {_MARK}$"], capture_output=True).stdout.split())


async def _until(true: Callable[[], bool], seconds: float = 60) -> float:
    """How long it took until something was so."""
    began = clock.monotonic()
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)
    return clock.monotonic() - began


async def _kinds(factory: Factory, run_id: str) -> list[str]:
    return [event.kind for event in await factory.events.read(run_id)]


async def test_a_run_that_another_process_drives_is_cancelled_amid_a_command(
    open_small: OpenSmall,
) -> None:
    rules: Any = {"scout/work": _sleeps}
    async with open_small(rules) as driving, open_small(rules) as other:
        run_id = await driving.submit("Small pages", pipeline="one")
        driven = asyncio.create_task(driving.drive(run_id))
        await _until(lambda: _asleep() > 0)
        began = clock.monotonic()
        await control.cancel(other.services, run_id, by="me", reason="enough")
        outcome = await driven
        assert clock.monotonic() - began < 30  # the command would have gone on for a minute
        assert outcome.status == "cancelled"
        assert _asleep() == 0
        run = await other.services.run(run_id)
        assert run.failure == "cancelled by me: enough"
        assert (await _kinds(other, run_id))[-3:] == ["run.cancel_wanted", "run.status", "run.ended"]
        with pytest.raises(RunOver, match="has ended"):
            await control.cancel(other.services, run_id, by="me")
        assert (await driving.drive(run_id)).status == "cancelled"


async def test_a_run_that_waits_is_cancelled_with_its_questions_closed(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
        (review,) = (await factory.drive(run_id)).waiting
        await control.cancel(factory.services, run_id, by="me")
        assert (await factory.services.run(run_id)).status == "cancelled"
        closed = await factory.approvals.get(review.id)
        assert (closed.decision, closed.decided_by) == ("expired", "the end of the run")
        assert await factory.approvals.pending(run_id) == []


async def test_a_paused_run_stands_still_until_it_is_resumed(open_small: OpenSmall) -> None:
    calls = 0

    def slow_once(chat: Chat) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            return _sleeps(chat, 5)  # it is done again to its end when the run goes on
        return "Done." if "wrote docs/scout.md" in chat.text else write("docs/scout.md", "# Scout")

    rules: Any = {"scout/work": slow_once}
    async with open_small(rules) as driving, open_small(rules) as other:
        run_id = await driving.submit("Small pages", pipeline="one")
        driven = asyncio.create_task(driving.drive(run_id))
        await _until(lambda: _asleep() > 0)
        await control.pause(other.services, run_id, by="me", reason="lunch")
        assert (await driven).status == "paused"
        assert _asleep() == 0
        before = len(await other.events.read(run_id))
        assert (await other.drive(run_id)).status == "paused"  # nobody goes on with it by accident
        assert len(await other.events.read(run_id)) == before
        assert await control.resume(other.services, run_id, by="me")
        assert not await control.resume(other.services, run_id, by="me")
        assert (await other.services.run(run_id)).status == "in_progress"
        assert [asked.kind for asked in (await other.drive(run_id)).waiting] == ["review"]


async def test_a_run_paused_while_it_waits_takes_its_answer_when_it_is_resumed(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
        (review,) = (await factory.drive(run_id)).waiting
        await control.pause(factory.services, run_id, by="me")
        assert (await factory.services.run(run_id)).status == "paused"
        await factory.answer(review.id, "approve", None, by="me")
        assert (await factory.drive(run_id)).status == "paused"
        await control.resume(factory.services, run_id, by="me")
        assert (await factory.drive(run_id)).status == "completed"


async def test_a_run_is_paused_before_it_began_and_goes_on_from_there(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", pipeline="one", approve_all=True)
        await control.pause(factory.services, run_id, by="me")
        assert (await factory.drive(run_id)).status == "paused"
        await control.cancel(factory.services, run_id, by="me")
        assert (await factory.services.run(run_id)).status == "cancelled"
        with pytest.raises(RunOver):
            await control.resume(factory.services, run_id, by="me")
        with pytest.raises(NotFound):
            await control.pause(factory.services, "run-none", by="me")


async def test_a_cancelled_run_whose_driver_is_gone_is_cancelled_by_who_takes_it_up(
    open_small: OpenSmall,
) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", pipeline="one", approve_all=True)
        async with factory.services.holds.hold(run_id) as held:  # a driver that does nothing any more
            assert held
            async with open_small() as other:
                await control.cancel(other.services, run_id, by="me")
                assert (await other.services.run(run_id)).status == "draft"
            await asyncio.wait_for(held.disturbed(), 30)
        assert (await factory.drive(run_id)).status == "cancelled"


async def test_each_take_over_raises_the_attempt_and_a_dead_holder_costs_no_new_worktrees(
    open_small: OpenSmall,
) -> None:
    async with open_small() as one, open_small() as two:
        run_id = await one.submit("Small pages", pipeline="one")
        async with one.services.holds.hold(run_id) as first:
            assert first
            async with one.services.holds.hold(run_id) as again, two.services.holds.hold(run_id) as other:
                assert again is None
                assert other is None
        async with two.services.holds.hold(run_id) as second:
            assert second
        assert (first.fence.attempt, second.fence.attempt) == (1, 2)
        assert (first.fence.generation, second.fence.generation) == (0, 0)
        assert (await one.services.run(run_id)).attempt == 2


async def test_who_gives_no_sign_for_the_length_of_a_lease_is_taken_over_though_it_lives(
    open_small: OpenSmall, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_small(lease_seconds=1) as one, open_small(lease_seconds=1) as two:
        run_id = await one.submit("Small pages", pipeline="one")
        async with one.services.holds.hold(run_id) as asleep:
            assert asleep
            monkeypatch.setattr(one.services.holds, "_look", _nothing)  # it stands still
            async with asyncio.timeout(30):
                while True:
                    async with two.services.holds.hold(run_id) as taken:
                        if taken:
                            break
                    await asyncio.sleep(0.1)
            assert (taken.fence.attempt, taken.fence.generation) == (2, 1)
            monkeypatch.undo()
            await asyncio.wait_for(asleep.disturbed(), 30)
            assert asleep.lost


async def test_a_beat_keeps_a_run_for_longer_than_a_lease(open_small: OpenSmall) -> None:
    async with open_small(lease_seconds=1) as one, open_small(lease_seconds=1) as two:
        run_id = await one.submit("Small pages", pipeline="one")
        async with one.services.holds.hold(run_id) as held:
            assert held
            for _ in range(15):
                async with two.services.holds.hold(run_id) as taken:
                    assert taken is None
                await asyncio.sleep(0.1)
            assert not held.lost


async def test_who_loses_the_connection_stops_and_drives_on_with_a_new_one(
    open_small: OpenSmall, database_url: str
) -> None:
    async with open_small() as factory:
        run_id = await factory.submit("Small pages", pipeline="one")
        async with factory.services.holds.hold(run_id) as held:
            assert held
            with psycopg.connect(database_url, autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(backend) FROM factory.holds WHERE subject = %s", (run_id,)
                )
            await asyncio.wait_for(held.disturbed(), 30)
            assert held.lost
        assert [asked.kind for asked in (await factory.drive(run_id)).waiting] == ["review"]


async def _nothing(*_: Any, **__: Any) -> None:
    """Looks at nothing, and says nothing."""
