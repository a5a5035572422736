"""`factory run`, `change`, `resume` and `rollback`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from cli import results
from cli.driving import to_the_end
from cli.screen import Screen
from cli.whoami import whoami
from core.errors import BadInput
from core.settings import Settings
from graph import control, turns
from graph.runner import Factory
from graph.submitting import Terms
from graph.turns import IfActive
from graph.wanted import RunOver
from models.cassette import REPLAY
from models.spending.amount import AmountInvalid, usd

_UNTOUCHED = "No run was created and nothing was changed"


class RecordingRefused(BadInput):
    """A run cannot be recorded or replayed like that."""


async def run(
    requirement: str,
    *,
    project: str | None,
    repo: Path | None,
    pipeline: str,
    model: str | None,
    approve_all: bool,
    budget: str | None,
    if_active: IfActive | None,
    record: Path | None,
    unsafe_no_sandbox: bool,
    as_json: bool,
) -> int:
    """Submit a requirement and drive its run; returns the exit code."""
    screen = Screen(as_json)
    terms = Terms(approve_all=approve_all, budget_usd=amount(budget), by=whoami(), if_active=if_active)
    settings = _settings(unsafe_no_sandbox, model=model, record=record)
    async with Factory.open(settings, model=model) as factory:
        screen.announce(factory.announcements)
        run_id = await factory.submit(
            requirement,
            project=project,
            repo=repo,
            pipeline=pipeline,
            **terms,
        )
        return await _submitted(factory, run_id, screen)


async def _submitted(factory: Factory, run_id: str, screen: Screen) -> int:
    screen.note(f"run {run_id}", style="bold")
    if behind := await turns.behind(factory.db, run_id):
        screen.note(f"It waits until {', '.join(behind)} is over.")
    return await to_the_end(factory, run_id, screen)


async def change(
    target: str,
    text: str,
    *,
    repo: Path | None,
    pipeline: str | None,
    model: str | None,
    approve_all: bool,
    budget: str | None,
    if_active: IfActive | None,
    unsafe_no_sandbox: bool,
    as_json: bool,
) -> int:
    """Submit a change and drive its run; returns the exit code."""
    screen = Screen(as_json)
    terms = Terms(approve_all=approve_all, budget_usd=amount(budget), by=whoami(), if_active=if_active)
    settings = _settings(unsafe_no_sandbox, model=model)
    async with Factory.open(settings, model=model) as factory:
        screen.announce(factory.announcements)
        run_id = await factory.change(
            target,
            text,
            repo=repo,
            pipeline=pipeline,
            **terms,
        )
        return await _submitted(factory, run_id, screen)


async def resume(run: str, *, record: Path | None, unsafe_no_sandbox: bool, as_json: bool) -> int:
    """Drive a run on; returns the exit code."""
    screen = Screen(as_json)
    async with Factory.open(_settings(unsafe_no_sandbox, record=record)) as factory:
        run_id = await factory.find(run)
        screen.announce(factory.announcements)
        with suppress(RunOver):  # then what follows shows how it ended
            await control.resume(factory.services, run_id, by=whoami())
        return await to_the_end(factory, run_id, screen)


class NotConfirmed(BadInput):
    """A rollback is to be confirmed."""


async def rollback(run: str, stage: str, *, yes: bool, as_json: bool) -> int:
    """Take a run back to where a stage had ended; returns 0."""
    screen = Screen(as_json)
    async with Factory.open(Settings.load()) as factory:
        run_id = await factory.find(run)
        if not yes:
            await _confirmed(screen, run_id, stage)
        aim = await factory.roll_back(run_id, stage, by=whoami())
        screen.note(f"✓ {run_id} stands at {aim.commit[:12]}, where {stage} had ended", style="green")
        results.show(await factory.summary(run_id), screen)
        if not as_json:
            screen.say(f"Continue it with: factory resume {run_id}")
    return 0


async def _confirmed(screen: Screen, run_id: str, stage: str) -> None:
    """Ask the person here; raises NotConfirmed where there is none, or for any answer but yes."""
    said = ""
    if screen.interactive:
        screen.note(f"Undo all that run {run_id} did after {stage}? It is kept under a ref of its own.")
        screen.note("Type yes to go on: ", style="bold")
        said = (await asyncio.to_thread(sys.stdin.readline)).strip().lower()
    if said != "yes":
        raise NotConfirmed(
            untouched="Nothing was rolled back", todo="Say --yes to roll back without being asked"
        )


def chosen(model: str | None, record: Path | None, replay: Path | None) -> str | None:
    """The model of a new run, from what was given for it. Raises RecordingRefused."""
    if replay is not None and (model is not None or record is not None):
        raise RecordingRefused(
            "--replay has a recorded run answer, so that neither --model nor --record can be given with it",
            untouched=_UNTOUCHED,
            todo="Leave out one of them",
        )
    if record is not None and record.exists():
        raise RecordingRefused(
            f"{record} is there already", untouched=_UNTOUCHED, todo="Give --record a file that is not there"
        )
    if record is not None and not record.absolute().parent.is_dir():
        raise RecordingRefused(
            f"There is no folder {record.absolute().parent}", untouched=_UNTOUCHED, todo="Make it first"
        )
    return model if replay is None else f"{REPLAY}{replay.absolute()}"


def amount(budget: str | None) -> Decimal | None:
    """US dollars of `--budget`. Raises AmountInvalid."""
    try:
        return None if budget is None else usd(budget)
    except AmountInvalid as invalid:
        raise AmountInvalid(
            f"--budget: {invalid.what}", untouched="Nothing was started", todo=invalid.todo
        ) from None


def _settings(unsafe_no_sandbox: bool, *, model: str | None = None, record: Path | None = None) -> Settings:
    # An option that is not given must leave what a variable or a file says.
    return Settings.load(model=model, record_file=record, unsafe_no_sandbox=unsafe_no_sandbox or None)
