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

_SHOWN = 3
"""Stages that are named as told; the others are counted."""


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
    """What is believed, by whom; then where it is from: run, stage, file and line."""
    file = f"{origin.path}:{origin.line}" if origin.path and origin.line else origin.path or ""
    where = ", ".join(part for part in (origin.run_id, origin.stage, file, f"event {origin.seq}") if part)
    first, more = origin.told_to[:_SHOWN], len(origin.told_to) - _SHOWN
    others = f" and {more} more stages" if more > 0 else ""
    if origin.memory is None:
        given = f" of {', '.join(first)}{others}" if len(origin.told_to) > 1 else ""
        section = f", under “{origin.section}”" if origin.section else ""
        line = f", line {origin.line}" if origin.line and not origin.path else ""
        screen.say(one_line(f"{origin.how}{given}{line}{section}: {where}", 300), style="bold")
        screen.say(f"  {one_line(origin.text, 400)}")
        return
    told = f", told to {', '.join(first)}{others} (event {origin.told_at})" if first else ""
    screen.say(one_line(f"{mark(origin.memory)} memory{told}", 300), style="bold")
    screen.say(f"  {one_line(origin.says or '', 400)}")
    screen.say(f"  said in {one_line(where, 300)}")
    if file and origin.text != origin.says:
        screen.say(f"  where it reads: {one_line(origin.text, 400)}")
