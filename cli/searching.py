"""`factory audit search`: a phrase in everything that was said, given, answered or written in any run."""

from __future__ import annotations

from typing import cast

from cli import records
from cli import screen as look_of
from cli.screen import Screen
from core.json import JsonObject
from memory.audit import chains
from memory.audit.phrases import Phrase
from memory.audit.search import Hit, search

_MANY = 2_000
"""Events to be indexed of which a person is told: it takes a moment."""

_NAMED = 3
"""Stages that are named as given the same; the others are counted."""


async def find(text: str, run: str | None, limit: int, *, as_json: bool) -> int:
    """Print the places where the phrase stands; returns 0, also where there is none."""
    screen, phrase = Screen(as_json), Phrase(text)

    def telling(events: int) -> None:
        if events > _MANY:
            screen.note(f"Reading {events:,} events that were written since the last search …")

    async with records.opened() as kept:
        run_id = await chains.find(kept.db, run) if run else None
        hits = await search(kept.db, phrase, run_id=run_id, limit=limit, telling=telling)
        imported = {chain.run_id for chain in await chains.imported(kept.db)}
    if as_json:
        told = {
            "phrase": text,
            "runs": hits.runs,
            "more": hits.more,
            "hits": [_plain(hit, imported=hit.run_id in imported) for hit in hits.found],
        }
        screen.result(cast(JsonObject, told))
        return 0
    if not hits.found:
        where = (
            f"run {run_id}"
            if run_id
            else look_of.counted(hits.runs, "run")
            if hits.runs
            else "any run: there is none yet"
        )
        screen.say(f"“{look_of.one_line(text)}” stands nowhere in the events and texts of {where}.")
        screen.note("Whole words are found, in any case; what was forgotten is not.")
        return 0
    shown = ""
    for hit in hits.found:
        if hit.run_id != shown:
            shown = hit.run_id
            screen.say(f"{shown}{' (imported)' if shown in imported else ''}", style="bold")
        _say(screen, hit)
    if hits.more:
        screen.note(f"There is more: the first {len(hits.found)} places are shown. See --limit, --run.")
    return 0


def _say(screen: Screen, hit: Hit) -> None:
    who = hit.stage or hit.team or "run"
    line = f":{hit.line}" if hit.line > 1 else ""
    screen.say(f"  {hit.seq:>5} {hit.at.astimezone():%Y-%m-%d %H:%M} {who} {hit.kind} {hit.place}{line}")
    screen.say(f"        {look_of.one_line(hit.excerpt, 400)}")
    if hit.again:
        named = ", ".join(hit.again[:_NAMED])
        more = f" and {len(hit.again) - _NAMED} more" if len(hit.again) > _NAMED else ""
        screen.say(f"        also in what was given to {named}{more}", style="dim")


def _plain(hit: Hit, *, imported: bool) -> JsonObject:
    return {
        "run_id": hit.run_id,
        "imported": imported,
        "seq": hit.seq,
        "at": hit.at.isoformat(),
        "kind": hit.kind,
        "team": hit.team,
        "stage": hit.stage,
        "place": hit.place,
        "line": hit.line,
        "excerpt": hit.excerpt,
        "again": list(hit.again),
    }
