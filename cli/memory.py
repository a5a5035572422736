"""`factory memory search` and `show`: what the teams of a project remember."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

from cli.banks import Here, opened, said_by
from cli.screen import Screen, one_line, table
from core.json import JsonObject
from graph import memories as memories_of
from graph.memories import MemoriesFound, SourceShown, Wanted, banks, kinds_of, number_in, shown
from memory.bank import Bank
from memory.extraction.echoes import mark
from memory.records import Kind, Memory
from memory.service import Memories


async def search(
    wanted: Wanted, query: str, limit: int, as_of: datetime | None, *, explain: bool, as_json: bool
) -> int:
    """Print what the banks know about a query, the best first; returns 0."""
    when = as_of.replace(tzinfo=as_of.tzinfo or UTC) if as_of else None
    async with opened(wanted.project) as memories:
        found = await memories_of.search(memories, Here(), wanted, query, limit=limit, as_of=when)
    return told(found, Screen(as_json), explain=explain)


def told(found: MemoriesFound, screen: Screen, *, explain: bool) -> int:
    """Print what was found; returns 0."""
    if screen.as_json:
        screen.result(found.model_dump(mode="json"))
        return 0
    for hit in found.memories:
        screen.say(one_line(f"{mark(hit.id)} {hit.kind} of {hit.bank}  {hit.score:.3f}"), style="bold")
        screen.read(f"  {one_line(hit.text, 600)}")
        screen.say(f"  {said_by(hit.source)}")
        if explain:
            screen.say("  " + ", ".join(f"{name} {value:.3f}" for name, value in hit.parts.items()))
    if not found.memories:
        screen.say("Nothing is remembered about it.")
    for note in found.degraded:
        screen.note(one_line(note), style="yellow")
    return 0


async def show(wanted: Wanted, *, past: bool, limit: int, as_json: bool) -> int:
    """Print a memory, the banks of a project, or the newest memories of one bank; returns 0."""
    screen = Screen(as_json)
    async with opened() as memories:
        if (number := number_in(wanted.project)) is not None:
            return await _show_one(screen, memories, number)
        found = await banks(memories, Here(), wanted)
        if wanted.bank is None and not wanted.kinds:
            return await _show_banks(screen, memories, wanted.project)
        listed = [
            (memory, bank.name)
            for bank in found
            for memory in await _newest(bank, kinds_of(wanted.kinds), past=past, limit=limit)
        ]
    if as_json:
        screen.result(
            cast(
                JsonObject,
                {"memories": [shown(memory, bank).model_dump(mode="json") for memory, bank in listed]},
            )
        )
        return 0
    for memory, bank in listed:
        ended = "" if memory.valid_to is None else f", until {memory.valid_to:%Y-%m-%d}"
        screen.say(one_line(f"{mark(memory.id)} {memory.kind} of {bank}{ended}"), style="bold")
        screen.read(f"  {one_line(memory.text, 600)}")
    if not listed:
        screen.say("Nothing is remembered here.")
    return 0


async def _show_one(screen: Screen, memories: Memories, number: int) -> int:
    memory = await memories.get(number)
    info = await memories_of.bank_of(memories, memory)
    project, bank = info.project, info.name
    if screen.as_json:
        screen.result(cast(JsonObject, shown(memory, bank).model_dump(mode="json") | {"project": project}))
        return 0
    screen.say(one_line(f"{mark(memory.id)} {memory.kind} of {bank} in {project}"), style="bold")
    if memory.forgotten_at is not None:
        screen.say(f"Forgotten on {memory.forgotten_at:%Y-%m-%d %H:%M}.")
    else:
        screen.read(memory.text)
    screen.say(said_by(SourceShown.model_validate(memory.source)))
    until = "now" if memory.valid_to is None else f"{memory.valid_to:%Y-%m-%d %H:%M}"
    screen.say(f"held from {memory.valid_from:%Y-%m-%d %H:%M} until {until}")
    if memory.superseded_by is not None:
        screen.say(f"{mark(memory.superseded_by)} took its place")
    if memory.derived_from:
        screen.say(f"made of {', '.join(map(mark, memory.derived_from))}")
    return 0


async def _show_banks(screen: Screen, memories: Memories, project: str) -> int:
    found = await memories.banks(project)
    if screen.as_json:
        told = [
            {"bank": info.name, "live": info.live, "embedders": [space.embedder for space in info.spaces]}
            for info in found
        ]
        screen.result(cast(JsonObject, {"project": project, "banks": told}))
        return 0
    rows = table("bank", "memories", "embedder", right=("memories",))
    for info in found:
        embedders = ", ".join(space.embedder for space in info.spaces if space.whole) or "-"
        rows.add_row(one_line(info.name), f"{info.live:,}", embedders)
    screen.out.print(rows) if found else screen.say("Nothing is remembered here.")
    return 0


async def _newest(bank: Bank, kinds: Sequence[Kind] | None, *, past: bool, limit: int) -> list[Memory]:
    kept: list[Memory] = []
    after = 0
    while found := await bank.list(kinds, past=past, after=after):
        kept = [*kept, *found][-limit:]
        after = found[-1].id
    return kept
