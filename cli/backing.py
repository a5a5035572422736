"""`factory backup` and `factory restore`: everything in one file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from cli.screen import Screen
from core.json import JsonObject
from core.settings import Settings
from workspace import backup as backups


async def backup(file: Path, *, as_json: bool) -> int:
    """Write a backup; returns 0."""
    screen = Screen(as_json)
    made = await backups.make(Settings.load(), file)
    if as_json:
        told = {"file": str(made.path), "bytes": made.bytes, "repositories": made.repositories}
        screen.result(cast(JsonObject, {**told, "files": made.files}))
        return 0
    screen.say(f"✓ {made.path}: {made.bytes / 1e6:.1f} MB, {made.repositories} repositories", style="green")
    screen.note("It holds the keys of this factory: keep it where only you can read it.")
    return 0


async def restore(file: Path, *, as_json: bool) -> int:
    """Restore a backup; returns 0."""
    screen, settings = Screen(as_json), Settings.load()
    manifest = await backups.restore(settings, file)
    if as_json:
        screen.result(
            cast(JsonObject, {"home": str(settings.home), **manifest.model_dump(exclude={"files"})})
        )
        return 0
    screen.say(f"✓ {settings.home}: as it was at {manifest.made_at}", style="green")
    screen.note("Check it with: factory audit verify. Runs that were under way go on with: factory resume")
    return 0
