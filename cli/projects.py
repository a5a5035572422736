"""`factory project`: what is set for a project, and where its finished runs go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

from cli import records
from cli.screen import Screen, table
from core.database import Database
from core.errors import BadInput, NotFound
from core.json import JsonObject
from core.settings import Settings
from graph import cleaning, projects
from graph.projects import Project
from workspace import project_settings
from workspace.errors import ProjectNameInvalid
from workspace.leases import Lease, Leases
from workspace.project_settings import Loaded
from workspace.projects import Workspace, is_project_name
from workspace.remote import Remote


async def show(name: str, *, as_json: bool) -> int:
    """Print a project's settings, what of the repository's own file is left out, and who works; returns 0."""
    screen, home = Screen(as_json), _home(name)
    loaded = await projects.settings(home, Workspace(Settings.load()), name)
    _print(screen, name, project_settings.operators_file(home, name), loaded, await _leases(name))
    return 0


async def list_(*, as_json: bool) -> int:
    """List the projects; returns 0."""
    screen = Screen(as_json)
    found: list[Project] = []
    async with records.opened() as kept:
        while page := await projects.listed(kept.db, after=found[-1].name if found else None, limit=200):
            found += page
    return listed(found, screen)


def listed(found: Sequence[Project], screen: Screen) -> int:
    """Print projects; returns 0."""
    if screen.as_json:
        told = [asdict(one) | {"created_at": one.created_at.isoformat()} for one in found]
        screen.result(cast(JsonObject, {"projects": told}))
        return 0
    if not found:
        screen.say('There is no project yet. A run makes one: factory run "…"')
        return 0
    rows = table("project", "runs", "under way", "newest run", right=("runs", "under way"))
    for one in found:
        rows.add_row(one.name, f"{one.runs:,}", str(one.live or ""), one.last_run or "")
    screen.out.print(rows)
    return 0


async def set_remote(name: str, fields: dict[str, str | None], *, as_json: bool) -> int:
    """Write the remote into the operator's file; returns 0."""
    screen, home = Screen(as_json), _home(name)
    path = project_settings.operators_file(home, name)
    given = {key: value for key, value in fields.items() if value is not None}
    remote = project_settings.remote_of(given, "the options")
    await asyncio.to_thread(_write, path, remote)
    _print(screen, name, path, Loaded(project_settings.load_operators(home, name), ()))
    return 0


async def clean(name: str, *, run: str | None, dry: bool, as_json: bool) -> int:
    """Remove what failed stages of ended runs left, and say what; returns 0."""
    screen = Screen(as_json)
    _home(name)
    workspace = Workspace(Settings.load())
    if not workspace.has(name):
        raise NotFound(f"There is no project {name!r}", untouched="Nothing was removed")
    async with records.opened() as kept:
        only = None if run is None else await kept.run(run)
        if only and only.project != name:
            raise NotFound(f"Run {only.id} is not one of {name}", untouched="Nothing was removed")
        repository = await workspace.project(name)
        found = await cleaning.clean(kept.db, kept.runs, repository, only=only and only.id, dry=dry)
    if as_json:
        told = [asdict(each) | {"stages": list(each.stages)} for each in found]
        screen.result(cast(JsonObject, {"project": name, "dry_run": dry, "worktrees": told}))
        return 0
    for each in found:
        what = f"left ({each.why})" if not each.removed else "would be removed" if dry else "removed"
        screen.say(f"{what}: {each.run_id} ({each.status}): {', '.join(each.stages)}")
    if not found:
        screen.say("There is nothing to remove.")
    return 0


class NoRemote(BadInput):
    """The project has no remote to fetch from."""


async def sync(name: str, *, as_json: bool) -> int:
    """Move a project's main forward to what its remote has; returns 0."""
    screen, home = Screen(as_json), _home(name)
    workspace = Workspace(Settings.load())
    remote = project_settings.load_operators(home, name).remote
    if not workspace.has(name):
        raise NotFound(
            f"There is no project {name!r}", todo="Import one with: factory change NAME … --repo PATH"
        )
    if remote is None:
        raise NoRemote(
            f"The project {name} has no remote",
            untouched="Nothing was fetched",
            todo=f"Set one with: factory project set-remote {name} URL --forge NAME",
        )
    done = await (await workspace.project(name)).sync(remote, remote.token())
    if as_json:
        told = {"project": name, **asdict(done)}
        screen.result(cast(JsonObject, told))
        return 0
    if done.before == done.after:
        more = f"; {done.ahead} commits are only here" if done.ahead else ""
        screen.say(f"main already has all of {done.branch}{more}")
    else:
        screen.say(f"main: {done.before[:12]} → {done.after[:12]}, as {done.branch} at the remote")
    if not done.shown:
        screen.note("The checkout of main has changes of yours and was left alone.", style="yellow")
    return 0


def _home(name: str) -> Path:
    if not is_project_name(name):
        raise ProjectNameInvalid(f"{name[:80]!a} is no project name", todo=ProjectNameInvalid.__doc__ or "")
    return Settings.load().home


async def _leases(name: str) -> list[Lease]:
    """Who works on the project now. Without a repository nobody does, and no database is started to ask."""
    settings = Settings.load()
    if not Workspace(settings).has(name):
        return []
    async with Database.open(settings) as db:
        return await Leases(db).live(name)


def _write(path: Path, remote: Remote) -> None:
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    text = project_settings.with_remote(before, remote, str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.rename(path)


def _print(screen: Screen, name: str, path: Path, loaded: Loaded, leases: Sequence[Lease] = ()) -> None:
    settings = loaded.settings
    if screen.as_json:
        told = {
            "project": name,
            "file": str(path),
            **settings.model_dump(mode="json"),
            "left_out": list(loaded.left_out),
            "leases": [_told(lease) for lease in leases],
        }
        screen.result(cast(JsonObject, told))
        return
    screen.say(f"project      {name}")
    screen.say(f"settings     {path}{'' if path.exists() else ' (not there)'}")
    if settings.description:
        screen.say(f"description  {settings.description}")
    if settings.remote is None:
        screen.say("remote       none: a finished run is merged into main here, and tagged")
    else:
        for key, value in settings.remote.model_dump().items():
            if value:
                screen.say(f"{key:<12} {value}")
    for lease in leases:
        until = f"until {lease.expires_at.astimezone():%H:%M:%S}" if lease.expires_at else ""
        screen.say(f"at work      {lease.team} of {lease.run_id} on {', '.join(lease.paths)} ({until})")
    for key in loaded.left_out:
        screen.say(f"The repository's {project_settings.FILE} sets {key}: left out, only the operator may.")


def _told(lease: Lease) -> JsonObject:
    return {
        "run_id": lease.run_id,
        "stage": lease.stage,
        "team": lease.team,
        "paths": list(lease.paths),
        "files": list(lease.files),
        "expires_at": lease.expires_at.isoformat() if lease.expires_at else None,
    }
