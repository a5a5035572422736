"""`factory cancel` and `factory pause`: what is wanted is written down, and the run's process obeys."""

from __future__ import annotations

import asyncio
from typing import Final

from cli import results
from cli.screen import Screen
from cli.whoami import whoami
from core import clock
from core.settings import Settings
from graph import control
from graph.lifecycle import ENDED
from graph.runner import Factory
from graph.runs import Run

_PATIENCE: Final = 10.0
"""Seconds until this says that the run's process has not obeyed yet. It takes one, as a rule."""


async def cancel(run: str, reason: str, *, as_json: bool) -> int:
    """Have a run end as cancelled; returns 0."""
    screen = Screen(as_json)
    async with Factory.open(Settings.load()) as factory:
        run_id = await factory.find(run)
        await control.cancel(factory.services, run_id, by=whoami(), reason=reason)
        return await _shown(factory, run_id, screen)


async def pause(run: str, reason: str, *, as_json: bool) -> int:
    """Have a run stand still; returns 0."""
    screen = Screen(as_json)
    async with Factory.open(Settings.load()) as factory:
        run_id = await factory.find(run)
        await control.pause(factory.services, run_id, by=whoami(), reason=reason)
        code = await _shown(factory, run_id, screen)
        if not as_json:
            screen.say(f"Continue it with: factory resume {run_id}")
        return code


async def _shown(factory: Factory, run_id: str, screen: Screen) -> int:
    until = clock.monotonic() + _PATIENCE
    while not await _obeyed(factory, await factory.services.run(run_id)):
        if clock.monotonic() > until:
            screen.note("Recorded. The process that drives the run has not answered yet.", style="yellow")
            break
        await asyncio.sleep(0.1)
    results.show(await factory.summary(run_id), screen)
    return 0


async def _obeyed(factory: Factory, run: Run) -> bool:
    return run.status in ENDED or await control.stands_still(factory.services, run.id)
