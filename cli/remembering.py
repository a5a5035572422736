"""`factory memory add`, `forget` and `promote`: what people do to the memory of teams."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Final, cast

from cli import requirement as requirements
from cli.banks import (
    BankUnclear,
    KindUnknown,
    Wanted,
    bank_of,
    has_project,
    id_in,
    is_team,
    kinds_of,
    opened,
    plain,
)
from cli.forgetting import confirmed, plainly, tell
from cli.screen import Screen, one_line
from cli.whoami import whoami
from core import clock
from core.errors import BadInput
from core.events import EventLog
from core.json import JsonObject
from graph.forgetting import WorkingCopies
from memory.extraction.echoes import mark
from memory.extraction.subjects import subject_of
from memory.lineage.everywhere import Audit, everywhere
from memory.lineage.forgetting import forget as forget_everywhere
from memory.lineage.promotion import promote as share
from memory.lineage.taking_back import PERSON
from memory.records import SHARED, Draft, Kind, Source
from memory.screening import screen as screened

TOLD: Final = "memory.told"
"""The kind of event that a person's memory comes from."""
_SAYABLE: Final = (Kind.DIRECTIVE, Kind.FACT, Kind.DECISION)


async def add(wanted: Wanted, text: str, kind: str, *, as_json: bool) -> int:
    """Keep what a person tells a team; returns 0."""
    screen, said = Screen(as_json), await _said(text)
    known = next(iter(kinds_of([kind]) or ()))
    if known not in _SAYABLE:
        raise KindUnknown(
            f"An {kind} is made in a run, not told",
            untouched="Nothing was kept",
            todo=f"Use --kind {', '.join(_SAYABLE)}",
        )
    name = wanted.bank
    if name is None:
        raise BankUnclear(
            "Who is to remember it?",
            untouched="Nothing was kept",
            todo="Give --team TEAM, or --shared for all teams",
        )
    has_project(wanted.project)
    await asyncio.to_thread(is_team, name)
    who = whoami()
    async with opened(wanted.project) as memories:
        bank = await memories.bank(wanted.project, name)
        chain = f"people/{wanted.project}"
        key = clock.new_id("told")
        payload: JsonObject = {"by": who, "bank": name, "kind": known.value}
        event = await EventLog(memories.db).append(
            chain, TOLD, payload, key=key, texts={"text": screened(said).text}, last=True
        )
        source = Source(chain, event.seq, event.hash, f"{PERSON} ({who})", end=len(said))
        subject = None if known is Kind.DIRECTIVE else subject_of(said)
        draft = Draft(said, known, source, PERSON, chain, event.at, subject)
        [added] = await bank.add([draft], key=key)
        memory = await memories.get(added.id)
    masked = screened(said).found
    if as_json:
        told = plain(memory, name) | {
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
        audit, copies = Audit(), WorkingCopies()
        gone = await forget_everywhere(
            memories,
            ids,
            why=reason.strip() or "asked by a person",
            by=whoami(),
            elsewhere=(*everywhere(audit), copies),
        )
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
        bank = await bank_of(memories, await memories.get(number))
    async with opened(bank[0]) as memories:
        if bank[1] == SHARED:
            raise BadInput(f"{mark(number)} is shared already", untouched="Nothing was changed")
        added = await share(memories, bank[0], number, by=whoami())
    if as_json:
        screen.result({"memory": number, "shared": added.id, "outcome": added.outcome})
        return 0
    word = "is shared as" if added.outcome == "new" else "was shared before, as"
    screen.say(f"{mark(number)} {word} {mark(added.id)} with all teams of {bank[0]}.")
    return 0


async def _said(text: str) -> str:
    if text == "-":
        text = await asyncio.to_thread(requirements.read_stream, sys.stdin.buffer, "standard input")
    if not text.strip():
        raise BadInput("The text is empty", untouched="Nothing was kept")
    return text.strip()
