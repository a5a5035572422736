"""A run taken apart into steps, from its log alone: a stage's brief, each turn, each verdict, what it left.

Stages of one wave work side by side, so their events alternate in the log. A step is what one stage did at a
time: it begins with an event that opens one, and holds what followed of the same stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from core.events import Event
from core.json import JsonValue, is_array, is_object
from core.said import PREFIX
from core.texts import FORGOTTEN, KeptText, Place
from memory.audit.search import stage_of
from memory.audit.stages import RECALLED, SNAPSHOT

_TURNS: Final = {"work": "works", "review": "is reviewed", "report": "reports", "plan": "plans"}
_OPENS: Final = {
    "stage.started": "is given its brief",
    "repair.started": "is given a conflict",
    "stage.skipped": "is left out",
    "gate.decided": "is judged",
    "clarification.asked": "asks",
    "clarification.answered": "has an answer",
    "approval.requested": "waits for a person",
    "approval.decided": "has a decision",
    "stage.merged": "hands over its work",
    SNAPSHOT: "hands over its work",
}


@dataclass
class Step:
    """What one stage, or the run itself, did at a time."""

    number: int
    """Counted from 1."""
    team: str | None
    """None for the run itself."""
    stage: str | None
    """The stage inside the run, `team.round`."""
    what: str
    events: list[Event] = field(default_factory=list[Event])
    tokens: int = 0
    """Of the whole run, up to the end of this step."""
    cost_usd: float = 0.0
    """Of the whole run, up to the end of this step."""

    @property
    def first(self) -> int:
        """The position of its first event."""
        return self.events[0].seq

    @property
    def last(self) -> int:
        """The position of its last event."""
        return self.events[-1].seq

    @property
    def at(self) -> datetime:
        """When it began."""
        return self.events[0].at

    @property
    def title(self) -> str:
        """Who, and what."""
        return f"{self.stage or self.team} {self.what}" if self.team else f"the run: {self.what}"


def steps(events: Iterable[Event]) -> list[Step]:
    """The steps of a run, in the order of their first events."""
    found: list[Step] = []
    current: dict[str | None, Step] = {}
    before: Step | None = None
    for event in events:
        step = current.get(event.team)
        opening = _opening(event)
        if event.team is None:
            # What the run does in one go is one step.
            opens = step is None or step is not before
        else:
            opens = step is None or (opening is not None and opening != _handing(step))
        if opens or step is None:
            step = Step(len(found) + 1, event.team, None, opening or event.kind.replace(".", " "))
            current[event.team] = step
            found.append(step)
        step.events.append(event)
        step.stage = step.stage or stage_of(event)
        before = step
    _sum_up(found)
    return found


def _opening(event: Event) -> str | None:
    """What begins with this event; None where it belongs to what its stage does already."""
    if event.kind == "model.called":
        call = str(event.payload.get("call"))
        return _TURNS.get(call, call)
    return _OPENS.get(event.kind) if event.team is not None else event.kind


def _handing(step: Step) -> str | None:
    """A stage hands over once, in several events."""
    handing = _OPENS[SNAPSHOT]
    return handing if step.what == handing else None


def _sum_up(found: Sequence[Step]) -> None:
    """Give each step what the run had spent when it ended."""
    calls = sorted(
        (event.seq, event.payload) for step in found for event in step.events if event.kind == "model.called"
    )  # positions are unique: payloads are never compared
    for step in found:
        for seq, payload in calls:
            if seq <= step.last:
                step.tokens += _number(payload, "input_tokens") + _number(payload, "output_tokens")
                step.cost_usd += float(str(payload.get("cost_usd") or 0))


def _number(payload: Mapping[str, Any], name: str) -> int:
    value = payload.get(name)
    return value if isinstance(value, int) else 0


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory that a stage was reminded of, as it was then."""

    text: str
    kind: str
    bank: str
    score: float | None
    source: str
    """Run, event, file and line, as far as they are known."""
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A text of a step, or why it is not there."""

    name: str
    text: str
    """Empty where it is not there."""
    note: str
    """What a reader must know: forgotten, by whom and why; missing, altered. Empty where it is whole."""


class Texts:
    """The texts of a run, by the steps in which they count."""

    def __init__(self, events: Sequence[Event], texts: Mapping[Place, KeptText]) -> None:
        self._texts = texts
        self._snapshots = {
            stage: event.seq for event in events if event.kind == SNAPSHOT and (stage := stage_of(event))
        }
        self._forgotten = {
            (event.payload.get("seq"), event.payload.get("name")): event
            for event in events
            if event.kind == FORGOTTEN
        }

    def brief(self, step: Step) -> Told | None:
        """What the stage was given, in the step in which it was; the snapshot at its end holds it."""
        seq = self._snapshots.get(step.stage or "")
        begins = any(event.kind in {"stage.started", "repair.started"} for event in step.events)
        return self._told(seq, "brief") if begins and seq is not None else None

    def result(self, step: Step) -> JsonValue:
        """The TaskResult that the stage handed over in this step."""
        kept = [self._texts.get((seq, "result")) for seq in self._of(step, SNAPSHOT)]
        return next((one.value for one in kept if one is not None), None)

    def files(self, step: Step) -> list[Told]:
        """The files that the stage handed over in this step."""
        return [
            self._told(seq, name)
            for seq in self._of(step, SNAPSHOT)
            for of, name in self._texts
            if of == seq and name.startswith("file:")
        ]

    def recalled(self, step: Step) -> list[Memory]:
        """What the stage was reminded of in this step: the set as it was logged, so as of then."""
        found: list[Memory] = []
        for seq in self._of(step, RECALLED):
            kept = self._texts.get((seq, "recall"))
            if kept is not None and is_array(kept.value):
                found += [_memory(one) for one in kept.value if is_object(one)]
        return found

    def gone(self, step: Step) -> list[Told]:
        """The texts of this step of which something is not there any more."""
        places = [place for place in self._texts if place[0] in {event.seq for event in step.events}]
        return [told for seq, name in places if (told := self._told(seq, name)).note]

    def _of(self, step: Step, kind: str) -> list[int]:
        return [event.seq for event in step.events if event.kind == kind]

    def _told(self, seq: int, name: str) -> Told:
        kept = self._texts.get((seq, name))
        if kept is None:
            return Told(name, "", "it was not kept")
        event = self._forgotten.get((seq, name))
        said = event.payload if event else {}
        why = f", because: {said['why']} (event {event.seq}, by {said['by']})" if event else ""
        note = {
            "whole": "",
            "cut": f"pieces of it were forgotten{why}",
            "forgotten": f"it was forgotten{why}",
            "missing": "it is missing: see factory audit verify",
            "altered": "it is not what was kept: see factory audit verify",
        }[kept.state]
        return Told(name.removeprefix(PREFIX), kept.value if isinstance(kept.value, str) else "", note)


def _memory(told: Mapping[str, Any]) -> Memory:
    source: Any = told.get("source")
    place = ""
    if is_object(source):
        path, line = source.get("path"), source.get("line")
        file = f" {path}{f':{line}' if line else ''}" if path else ""
        place = f"{source.get('run_id') or ''}/{source.get('seq') or ''}{file}".strip("/")
    score = told.get("score")
    return Memory(
        str(told.get("text") or ""),
        str(told.get("kind") or ""),
        str(told.get("bank") or ""),
        float(score) if isinstance(score, int | float) else None,
        place,
        number if isinstance(number := told.get("id"), int) else None,
    )
