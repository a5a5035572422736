"""`factory memory add`, `forget` and `promote`: what people do to the memory of teams."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import cast

from cli import requirement as requirements
from cli.banks import Here, opened
from cli.forgetting import confirmed, plainly, tell
from cli.screen import Screen, one_line
from cli.whoami import whoami
from core.json import JsonObject
from graph import memories as memories_of
from graph.memories import Wanted, id_in, shown
from memory.extraction.echoes import mark

_TOLD = requirements.Meant(
    "What is to be remembered",
    "Nothing was kept",
    "Keep what it says in a sentence or two, and the text itself in the workspace",
    'Say it in a sentence: factory memory add PROJECT "Never log a name." --team TEAM',
)


async def add(wanted: Wanted, text: str, kind: str, *, as_json: bool) -> int:
    """Keep what a person tells a team; returns 0."""
    screen, said = Screen(as_json), await _said(text)
    async with opened(wanted.project) as memories:
        kept = await memories_of.tell(memories, Here(), wanted, said, kind, by=whoami())
    added, masked = kept.added, kept.masked
    if as_json:
        told = shown(kept.memory, kept.bank).model_dump(mode="json") | {
            "outcome": added.outcome,
            "superseded": list(added.superseded),
            "masked": list(masked),
        }
        screen.result(cast(JsonObject, told))
        return 0
    new = added.outcome == "new"
    screen.say(f"{mark(added.id)} " + ("is remembered." if new else "says so already; nothing was added."))
    if added.superseded:
        screen.say(f"It takes the place of {', '.join(map(mark, added.superseded))}.")
    if masked:
        screen.note(f"Masked before it was kept: {', '.join(masked)}.", style="yellow")
    return 0


async def forget(names: Sequence[str], reason: str, *, yes: bool, as_json: bool) -> int:
    """Forget memories, after asking; returns 0."""
    screen, ids = Screen(as_json), [id_in(name) for name in names]
    async with opened() as memories:
        doomed = [await memories.get(one) for one in ids]
        alive = [memory for memory in doomed if memory.forgotten_at is None]
        if alive and not yes:
            texts = [f"{mark(memory.id)} {one_line(memory.text)}" for memory in alive]
            why = "Its text goes from every bank, page and text of the audit, with all that was made of it."
            await confirmed(screen, *texts, why)
        gone, audit, copies = await memories_of.forget(memories, ids, why=reason, by=whoami())
    if as_json:
        told = {"forgotten": list(gone), "too_short": len(audit.short), **plainly(audit.done, copies)}
        screen.result(cast(JsonObject, told))
        return 0
    if not gone:
        screen.say("It was forgotten before; nothing was done.")
        return 0
    screen.say(f"Forgotten: {', '.join(map(mark, gone))}.")
    more = len(gone) - len(alive)
    if more > 0:
        screen.say(f"{more} of them said the same, or were made of it.")
    tell(screen, audit.done, copies)
    if audit.short:
        screen.note("Too short to be cut out of the audit unasked: `factory audit search`, `audit forget`.")
    return 0


async def promote(name: str, *, as_json: bool) -> int:
    """Share a memory with all teams of its project; returns 0."""
    screen, number = Screen(as_json), id_in(name)
    async with opened() as memories:
        info = await memories_of.bank_of(memories, await memories.get(number))
    async with opened(info.project) as memories:
        added = await memories_of.share(memories, info, number, by=whoami())
    if as_json:
        screen.result({"memory": number, "shared": added.id, "outcome": added.outcome})
        return 0
    word = "is shared as" if added.outcome == "new" else "was shared before, as"
    screen.say(f"{mark(number)} {word} {mark(added.id)} with all teams of {info.project}.")
    return 0


async def _said(text: str) -> str:
    if text == "-":
        return await asyncio.to_thread(requirements.read_stream, sys.stdin.buffer, "standard input", _TOLD)
    return text.strip()
