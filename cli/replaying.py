"""`factory replay`: a run walked through from its log alone; no model, no repository."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from cli import records
from cli.narration import tell_at
from cli.screen import Screen
from core.errors import BadInput
from core.events import Event
from core.json import JsonObject


class UnknownKind(BadInput):
    """No event of this run is of that kind."""


async def replay(run: str, kinds: Sequence[str], *, as_json: bool) -> int:
    """Walk a run's events in order; returns 0."""
    screen = Screen(as_json)
    async with records.opened() as kept:
        found = await kept.run(run)
        everything = await kept.events.read(found.id)
    screen.announce(records.announcements(found))
    chosen = [event for event in everything if not kinds or _is_of(event.kind, kinds)]
    if kinds and not chosen:
        known = ", ".join(sorted({event.kind for event in everything}))
        raise UnknownKind(
            f"Run {found.id} has no event of kind {' or '.join(kinds)}", todo=f"It has: {known}"
        )
    if as_json:
        screen.result(cast(JsonObject, {"run_id": found.id, "events": [_record(event) for event in chosen]}))
        return 0
    width = len(str(chosen[-1].seq)) if chosen else 1
    for event in chosen:
        screen.say(f"{event.seq:>{width}} {tell_at(event)}")
    return 0


def _is_of(kind: str, wanted: Sequence[str]) -> bool:
    return any(kind == name or kind.startswith(f"{name.rstrip('.*')}.") for name in wanted)


def _record(event: Event) -> JsonObject:
    return {
        "seq": event.seq,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "team": event.team,
        "payload": event.payload,
        "hash": event.hash,
    }
