"""`factory audit forget`, and what is said of a forgetting."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from typing import cast

from cli import records
from cli.running import NotConfirmed
from cli.screen import Screen, counted, one_line
from cli.whoami import whoami
from core.json import JsonObject
from core.settings import Settings
from graph import purging
from graph.forgetting import WorkingCopies
from graph.runner import Factory
from memory.audit.forgetting import Forgotten, forget_phrase
from memory.audit.phrases import Phrase
from memory.extraction.echoes import mark
from memory.lineage.standing import standing_in
from memory.mental_models.forgetting import take_out_phrase
from memory.service import Memories
from models.embeddings.local import LocalEmbedder

_NAMED = 20
"""Memories that are named; the others are counted."""


async def forget(phrase: str, reason: str, *, yes: bool, as_json: bool) -> int:
    """Cut a phrase out of all texts of all runs, after asking; returns 0."""
    screen, wanted, copies = Screen(as_json), Phrase(phrase), WorkingCopies()
    if not yes:
        await confirmed(screen, f"“{one_line(phrase, 200)}” goes from every text of every run.")
    async with records.opened() as kept:
        done = await forget_phrase(kept.db, phrase, why=reason.strip() or "asked by a person", by=whoami())
        await copies.take_out(kept.db, [wanted])
        lines = await take_out_phrase(kept.db, wanted)
        async with Memories.open(kept.db, LocalEmbedder()) as memories:
            remembered = await standing_in(memories, wanted)
    if as_json:
        told = plainly(done, copies) | {"page_lines": lines, "remembered": remembered}
        screen.result(cast(JsonObject, told))
        return 0
    tell(screen, done, copies)
    if lines:
        screen.say(f"Taken off the teams' pages, old versions too: {counted(lines, 'line')}.")
    if remembered:
        marks = " ".join(mark(one).strip("[]") for one in remembered[:_NAMED])
        more = f" and {len(remembered) - _NAMED:,} more" if len(remembered) > _NAMED else ""
        screen.note(
            f"Memories say it still: {marks}{more}. See `factory memory show`, `memory forget {marks}`."
        )
    return 0


async def purge(run: str, reason: str, *, yes: bool, as_json: bool) -> int:
    """Remove what an ended run said and kept, after asking; returns 0."""
    screen = Screen(as_json)
    async with Factory.open(Settings.load()) as factory:
        run_id = await factory.find(run)
        if not yes:
            await confirmed(screen, f"All that {run_id} was given, said and could go on from is removed.")
        done = await purging.purge(factory.services, run_id, by=whoami(), reason=reason.strip())
    if as_json:
        screen.result(cast(JsonObject, asdict(done) | {"kept_until": done.kept_until.isoformat()}))
        return 0
    screen.say(
        f"Purged {run_id}: {done.texts} texts, {done.rows} rows and {done.worktrees} worktrees. "
        "Its chain of events, its costs and what it merged stay."
    )
    return 0


async def confirmed(screen: Screen, *what: str) -> None:
    """Ask a person at a terminal. Raises NotConfirmed."""
    said = ""
    if screen.interactive:
        for line in what:
            screen.note(line)
        screen.note("Type yes to forget: ", style="bold")
        said = (await asyncio.to_thread(sys.stdin.readline)).strip().lower()
    if said != "yes":
        raise NotConfirmed(
            "Forgetting is to be confirmed: it cannot be undone",
            untouched="Nothing was forgotten",
            todo="Say --yes to forget without being asked",
        )


def plainly(done: Forgotten, copies: WorkingCopies) -> dict[str, object]:
    """What became of it, for programs."""
    return {
        "cut": [{"run_id": cut.run_id, "seq": cut.seq, "text": cut.name} for cut in done.cuts],
        "kept": [{"run_id": run, "seq": seq, "place": at} for run, seq, at in done.kept],
        "working_copies": copies.cut,
        "still_working": copies.left,
    }


def tell(screen: Screen, done: Forgotten, copies: WorkingCopies) -> None:
    """What became of it, in words."""
    screen.say(f"Cut out of {counted(len(done.cuts), 'text')} of the audit; every chain is whole.")
    if copies.cut:
        screen.say(
            f"Cut out of {counted(sum(copies.cut.values()), 'row')} that runs which are over had kept."
        )
    for run in copies.left:
        again = "`factory audit forget` takes the words out when it is"
        screen.note(one_line(f"{run} is not over, and works with it still: {again}."))
    for run, seq, at in done.kept:
        screen.note(one_line(f"It still stands in {run}, event {seq} ({at}): a record never changes."))
