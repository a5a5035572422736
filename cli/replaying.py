"""`factory replay`: a run walked through from its log alone: no model, no repository, no other table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from cli import records, stepping
from cli.screen import Screen
from core.errors import BadInput, NotFound
from core.events import Event
from core.json import JsonObject
from graph.narration import tell_at
from memory.audit import chains
from memory.audit.replay import Step, Texts, steps


class UnknownKind(BadInput):
    """No event of this run is of that kind."""


class UnknownStage(NotFound):
    """The run has no stage of that name."""


class UnknownEvent(NotFound):
    """The run has no event at that position."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a run is to be shown, and how."""

    kinds: Sequence[str] = ()
    step: bool = False
    """Step for step."""
    at: int | None = None
    stage: str | None = None

    @property
    def walks(self) -> bool:
        """Whether steps are to be shown, not events."""
        return self.step or self.at is not None or self.stage is not None


class WantsTwo(BadInput):
    """Events of some kinds, or steps: not both."""


async def replay(run: str, wanted: Wanted, *, as_json: bool) -> int:
    """Walk a run's events or steps in order; returns 0."""
    if wanted.kinds and wanted.walks:
        raise WantsTwo(todo="Give --kind alone, or --step, --at and --stage")
    screen = Screen(as_json)
    async with records.opened() as kept:
        run_id = await chains.find(kept.db, run)
        chain = await chains.chain(kept.db, run_id)
        events = await kept.events.read(run_id)
        texts = Texts(events, await kept.events.texts(run_id)) if wanted.walks else None
    imported = chain is not None and chain.imported
    screen.announce(_announcements(events, imported=imported))
    if texts is None:
        return _list(screen, run_id, _chosen(run_id, events, wanted.kinds))
    walk = stepping.Walk(run_id, events, _steps(run_id, events, wanted), texts)
    if as_json:
        screen.result(walk.plain(wanted.at, imported=imported))
    elif wanted.step and screen.interactive:
        await walk.interactively(screen, wanted.at)
    else:
        walk.show(screen, wanted.at)
    return 0


def _announcements(events: Sequence[Event], *, imported: bool) -> list[str]:
    scripted = any(e.kind == "run.created" and e.payload.get("model") == "offline" for e in events[:1])
    return [
        *([records.SCRIPTED] if scripted else []),
        *(["imported from elsewhere: read-only"] if imported else []),
    ]


def _steps(run_id: str, events: Sequence[Event], wanted: Wanted) -> list[Step]:
    found = steps(events)
    if wanted.stage is not None:
        of = [step for step in found if wanted.stage in (step.team, step.stage)]
        if not of:
            known = ", ".join(dict.fromkeys(step.stage for step in found if step.stage))
            raise UnknownStage(
                f"Run {run_id} has no stage {wanted.stage!r}", todo=f"It has: {known or 'none yet'}"
            )
        found = of
    if wanted.at is not None:
        if not 1 <= wanted.at <= len(events):
            raise UnknownEvent(
                f"Run {run_id} has no event {wanted.at}", todo=f"Its events are 1 to {len(events)}"
            )
        if not any(event.seq == wanted.at for step in found for event in step.events):
            raise UnknownEvent(f"Event {wanted.at} of {run_id} is not one of {wanted.stage}")
    return found


def _chosen(run_id: str, events: Sequence[Event], kinds: Sequence[str]) -> list[Event]:
    chosen = [event for event in events if not kinds or _is_of(event.kind, kinds)]
    if kinds and not chosen:
        known = ", ".join(sorted({event.kind for event in events}))
        raise UnknownKind(f"Run {run_id} has no event of kind {' or '.join(kinds)}", todo=f"It has: {known}")
    return chosen


def _list(screen: Screen, run_id: str, chosen: Sequence[Event]) -> int:
    if screen.as_json:
        told = {"run_id": run_id, "events": [stepping.record(event) for event in chosen]}
        screen.result(cast(JsonObject, told))
        return 0
    width = len(str(chosen[-1].seq)) if chosen else 1
    for event in chosen:
        screen.say(f"{event.seq:>{width}} {tell_at(event)}")
    return 0


def _is_of(kind: str, wanted: Sequence[str]) -> bool:
    return any(kind == name or kind.startswith(f"{name.rstrip('.*')}.") for name in wanted)
