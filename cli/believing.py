"""`factory memory why`: where a belief comes from, back to run, stage, file and line."""

from __future__ import annotations

from dataclasses import asdict
from typing import cast

from cli.screen import Screen, one_line
from core.database import Database
from core.json import JsonObject
from core.settings import Settings
from memory.audit import chains
from memory.extraction.echoes import mark
from memory.origins import MOST, Origin, origins
from memory.service import Memories
from models.embeddings.local import LocalEmbedder


async def why(phrase: str, run: str | None, stage: str | None, *, as_json: bool) -> int:
    """Print where a belief comes from; returns 0. Raises NotFound where nobody holds it."""
    screen = Screen(as_json)
    async with Database.open(Settings.load()) as db, Memories.open(db, LocalEmbedder()) as memories:
        run_id = None if run is None else await chains.find(db, run)
        found = await origins(db, memories, phrase, run_id=run_id, stage=stage)
    if as_json:
        told = [asdict(origin) for origin in found[:MOST]]
        screen.result(cast(JsonObject, {"phrase": phrase, "origins": told}))
        return 0
    for origin in found[:MOST]:
        _say(screen, origin)
    if len(found) > MOST:
        screen.note(f"… and {len(found) - MOST} more places.")
    return 0


def _say(screen: Screen, origin: Origin) -> None:
    file = f"{origin.path}:{origin.line}" if origin.path and origin.line else origin.path or ""
    where = ", ".join(part for part in (origin.run_id, origin.stage, file, f"event {origin.seq}") if part)
    before = f"{mark(origin.memory)} " if origin.memory is not None else ""
    told = f", recalled at event {origin.told_at}" if origin.told_at else ""
    screen.say(one_line(f"{before}{origin.how}{told}: {where}", 300), style="bold")
    screen.say(f"  {one_line(origin.text, 400)}")
