"""`factory runs`, `show`, `diff` and `watch`: what there is, without touching it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Final, cast

from cli import records, results
from cli import screen as look_of
from cli.interrupt import RunInterrupted
from cli.live import Feed, watching
from cli.records import Records
from cli.screen import Screen, table
from core.events import Event
from core.json import JsonObject
from core.settings import Settings
from core.tasks import end
from graph.lifecycle import ENDED, WAITING
from graph.made import made
from graph.summary import RunSummary
from workspace.projects import Workspace

_LOOK_AGAIN: Final = 5.0
"""Seconds between two looks at the deadlines of questions."""


async def runs(limit: int, *, as_json: bool) -> int:
    """List the newest runs; returns 0."""
    screen = Screen(as_json)
    async with records.opened() as kept:
        found = [await kept.summary(run) for run in await kept.runs.list(limit)]
    return listed(found, screen)


def listed(found: Sequence[RunSummary], screen: Screen) -> int:
    """Print runs; returns 0."""
    if screen.as_json:
        screen.result(cast(JsonObject, {"runs": [summary.model_dump(mode="json") for summary in found]}))
        return 0
    if not found:
        screen.say('There is no run yet. Start one with: factory run "…"')
        return 0
    rows = table("run", "status", "project", "by", "stages", "time", "cost", right=("stages", "time", "cost"))
    for summary in found:
        working = [stage for stage in summary.stages if not stage.skipped_because]
        waits = f" ({len(summary.waiting_for)} open)" if summary.waiting_for else ""
        rows.add_row(
            summary.run_id,
            look_of.look(summary.status).text() + waits,
            look_of.clean(summary.project),
            look_of.clean(summary.by or ""),
            f"{sum(1 for stage in working if stage.verdict == 'pass')}/{len(working)}" if working else "",
            look_of.seconds(summary.seconds),
            look_of.cost(summary.cost_usd),
        )
    screen.out.print(rows)
    return 0


async def show(name: str, *, as_json: bool) -> int:
    """Print one run; returns 0 whatever its status is."""
    screen = Screen(as_json)
    async with records.opened() as kept:
        run = await kept.run(name)
        screen.announce(records.announcements(run))
        results.show(await kept.summary(run), screen)
    return 0


async def diff(name: str, *, stat: bool, as_json: bool) -> int:
    """Print what a run changed; returns 0. A terminal is shown no control sequences of the files."""
    screen = Screen(as_json)
    async with records.opened() as kept:
        run = await kept.run(name)
    found = await made(Workspace(Settings.load()), run)
    text = await found.repository.diff(found.base, found.head, stat=stat)
    if as_json:
        told = {"run_id": run.id, "base": found.base, "head": found.head, "diff": text}
        screen.result(cast(JsonObject, told))
    elif screen.out.is_terminal:
        screen.say(text.rstrip("\n"))
    else:
        sys.stdout.write(text)
    return 0


async def watch(name: str, *, as_json: bool) -> int:
    """Follow a run to its end, or, where nobody sits here, until it waits; returns its exit code."""
    screen = Screen(as_json)
    async with records.opened() as kept:
        run = await kept.run(name)
        screen.announce(records.announcements(run))
        time = asyncio.create_task(_keep_time(kept))
        try:
            async with watching(screen, run.id) as view:
                await _follow(kept, run.id, Feed(view), screen)
        except asyncio.CancelledError:
            raise RunInterrupted(run.id, untouched="The run goes on where it is driven") from None
        finally:
            await end(time)
        return results.show(await kept.summary(await kept.runs.get(run.id)), screen)


async def _keep_time(kept: Records) -> None:
    """Decide what nobody decides in time, so that who drives the run next goes on with that."""
    while True:
        await kept.approvals.expire(await kept.db.now())
        await asyncio.sleep(_LOOK_AGAIN)


async def _follow(kept: Records, run_id: str, feed: Feed, screen: Screen) -> None:
    async def status_settled() -> bool:
        status = (await kept.runs.get(run_id)).status
        if status in ENDED:
            return True
        # A run whose questions are answered waits for its driver only, and goes on.
        return status in WAITING and not screen.interactive and bool(await kept.approvals.pending(run_id))

    async def settled(event: Event) -> bool:
        return event.kind.startswith(("run.", "approval.requested")) and await status_settled()

    for event in await kept.events.read(run_id):
        feed.show(event)
    # A run that has settled already gives no further event to learn it from.
    if not await status_settled():
        await feed.take(kept.hub.follow(run_id, after=feed.seen), settled)
