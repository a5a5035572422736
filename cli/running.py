"""`factory run`, `factory change` and `factory resume`."""

from __future__ import annotations

from pathlib import Path

from cli.driving import to_the_end
from cli.screen import Screen
from core.settings import Settings
from graph.runner import Factory


async def run(
    requirement: str,
    *,
    project: str | None,
    repo: Path | None,
    pipeline: str,
    model: str | None,
    approve_all: bool,
    unsafe_no_sandbox: bool,
    as_json: bool,
) -> int:
    """Submit a requirement and drive its run; returns the exit code."""
    screen = Screen(as_json)
    settings = _settings(unsafe_no_sandbox, model=model)
    async with Factory.open(settings, model=model) as factory:
        screen.announce(factory.announcements)
        run_id = await factory.submit(
            requirement, project=project, repo=repo, pipeline=pipeline, approve_all=approve_all
        )
        screen.note(f"run {run_id}", style="bold")
        return await to_the_end(factory, run_id, screen)


async def change(
    target: str,
    text: str,
    *,
    repo: Path | None,
    pipeline: str | None,
    model: str | None,
    approve_all: bool,
    unsafe_no_sandbox: bool,
    as_json: bool,
) -> int:
    """Submit a change and drive its run; returns the exit code."""
    screen = Screen(as_json)
    settings = _settings(unsafe_no_sandbox, model=model)
    async with Factory.open(settings, model=model) as factory:
        screen.announce(factory.announcements)
        run_id = await factory.change(target, text, repo=repo, pipeline=pipeline, approve_all=approve_all)
        screen.note(f"run {run_id}", style="bold")
        return await to_the_end(factory, run_id, screen)


async def resume(run: str, *, unsafe_no_sandbox: bool, as_json: bool) -> int:
    """Drive a run on; returns the exit code."""
    screen = Screen(as_json)
    async with Factory.open(_settings(unsafe_no_sandbox)) as factory:
        run_id = await factory.find(run)
        screen.announce(factory.announcements)
        return await to_the_end(factory, run_id, screen)


def _settings(unsafe_no_sandbox: bool, *, model: str | None = None) -> Settings:
    # An option that is not given must leave what a variable or a file says.
    return Settings.load(model=model, unsafe_no_sandbox=unsafe_no_sandbox or None)
