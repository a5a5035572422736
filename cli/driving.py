"""Drive a run and show it: execute, ask the person who sits here, go on; then say how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from cli import person, results
from cli.interrupt import RunInterrupted
from cli.live import Feed, at_the_end, watching
from cli.screen import Screen, one_line
from cli.whoami import whoami
from core import clock
from core.tasks import end
from governance.approvals import AlreadyDecided, Approval
from graph.driver import Outcome
from graph.runner import Factory
from models.spending.amount import AmountInvalid


async def to_the_end(factory: Factory, run_id: str, screen: Screen) -> int:
    """Drive `run_id` until it ends or waits for somebody who is not here; print it; return the exit code.

    Ctrl-C raises RunInterrupted; the run can be resumed then.
    """
    try:
        seen = 0
        while True:
            outcome, seen = await _drive(factory, run_id, screen, seen)
            if not (outcome.waiting and screen.interactive and await _ask(factory, outcome.waiting, screen)):
                break
    except asyncio.CancelledError:
        raise RunInterrupted(run_id) from None
    return results.show(await factory.summary(run_id), screen)


async def _drive(factory: Factory, run_id: str, screen: Screen, seen: int) -> tuple[Outcome, int]:
    async with watching(screen, run_id) as view:
        feed = Feed(view)
        # Lines that were shown are not shown again; a table needs all events to know its rows.
        feed.seen = seen if not screen.err.is_terminal else 0
        reader = asyncio.create_task(feed.take(factory.follow(run_id, after=feed.seen), at_the_end))
        try:
            outcome = await factory.drive(run_id)
        finally:
            # A reader that has failed has cost the display, not the run: its events are read below.
            await end(reader)
        for event in await factory.events.read(run_id, after=feed.seen):
            feed.show(event)
        return outcome, feed.seen


def _left(approval: Approval) -> float | None:
    """Seconds until the question expires; None where it never does."""
    if approval.expires_at is None:
        return None
    return max((approval.expires_at - clock.now()).total_seconds(), 0)


async def _decided(factory: Factory, approval: Approval) -> Approval:
    """Wait until somebody has decided, from whatever surface."""
    async with aclosing(factory.hub.follow(approval.run_id, kinds=["approval.decided"])) as decisions:
        async for event in decisions:
            if event.payload["approval_id"] == approval.id:
                break
    return await factory.approvals.get(approval.id)


async def _ask(factory: Factory, waiting: Sequence[Approval], screen: Screen) -> bool:
    """Ask the person here each question; whether anything was decided, so that the run can go on."""
    decided = False
    queue = list(waiting)
    while queue:
        approval = queue.pop(0)
        try:
            async with asyncio.timeout(_left(approval)):
                said = await person.ask_first(screen, approval, _decided(factory, approval))
        except AlreadyDecided as already:
            screen.note(str(already), style="yellow")
            decided = True
            continue
        except TimeoutError:
            screen.note("\nNobody answered in time.", style="yellow")
            decided = True  # by the clock, when the run is driven on
            continue
        if said is None:
            continue
        try:
            await factory.answer(approval.id, said.decision, said.text, by=whoami())
            screen.note(
                f"✓ {said.decision}{f': {one_line(said.text, 60)}' if said.text else ''}", style="green"
            )
        except AmountInvalid as invalid:
            screen.note(str(invalid), style="yellow")
            queue.insert(0, approval)
            continue
        except AlreadyDecided as already:
            screen.note(str(already), style="yellow")
        decided = True
    return decided
