"""A run's steps as a person sees them: page after page at a terminal, one long text elsewhere, or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from cli import screen as look_of
from cli.person import read_line
from cli.screen import Screen, one_line
from core.events import Event
from core.json import JsonObject, is_object
from graph.narration import tell_at
from graph.progress import Progress
from memory.audit.replay import Memory, Step, Texts, Told
from memory.extraction.echoes import mark

_BRIEF_LINES = 14
"""Lines of a text that a page shows, so that the step stays in sight."""
_KEYS = (
    "Enter: next · b: back · a number: the step of that event · t: in full · s: where the run was · q: end"
)


def record(event: Event) -> JsonObject:
    """An event as `--json` gives it."""
    return {
        "seq": event.seq,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "team": event.team,
        "payload": event.payload,
        "hash": event.hash,
    }


@dataclass(frozen=True)
class Walk:
    """The steps of a run that are to be shown."""

    run_id: str
    events: Sequence[Event]
    steps: Sequence[Step]
    texts: Texts

    def plain(self, at: int | None, *, imported: bool) -> JsonObject:
        """The steps as JSON; with `at` the one of that event, and where the run was then."""
        chosen = self.steps if at is None else [self.steps[self._index(at)]]
        told: JsonObject = {
            "run_id": self.run_id,
            "imported": imported,
            "steps": [self._plain(step) for step in chosen],
        }
        return told if at is None else {**told, "then": _state(self._then(at))}

    def show(self, screen: Screen, at: int | None) -> None:
        """Every step, with its texts in full; with `at` the one of that event, and where the run was then."""
        if at is not None:
            self._say_state(screen, at)
        for step in self.steps if at is None else [self.steps[self._index(at)]]:
            self._page(screen, step, whole=True)

    async def interactively(self, screen: Screen, at: int | None) -> None:
        """One step after the other, as the person at the terminal asks for them."""
        place = 0 if at is None else self._index(at)
        self._page(screen, self.steps[place], whole=False)
        while True:
            screen.note(_KEYS, style="dim")
            screen.err.print(f"{place + 1}/{len(self.steps)} > ", end="", style="bold")
            line = await read_line()
            word = "q" if line is None else line.strip().lower()
            if word == "q":
                return
            if word == "s":
                self._say_state(screen, self.steps[place].last)
                continue
            if word.isdecimal() and not 1 <= int(word) <= len(self.events):
                screen.note(f"The events are 1 to {len(self.events)}.", style="yellow")
                continue
            moved = self._moved(place, word)
            if moved is None:
                screen.note("That is none of the keys.", style="yellow")
                continue
            if moved == place and word in ("", "b"):
                screen.note("There is no step beyond.", style="yellow")
                continue
            place = moved
            self._page(screen, self.steps[place], whole=word == "t")

    def _moved(self, place: int, word: str) -> int | None:
        if word.isdecimal():
            return self._index(int(word))
        moves = {"": min(place + 1, len(self.steps) - 1), "b": max(place - 1, 0), "t": place}
        return moves.get(word)

    def _index(self, seq: int) -> int:
        """The step with that event; where it is of none that are shown, the last one before it."""
        for index, step in enumerate(self.steps):
            if any(event.seq == seq for event in step.events):
                return index
        before = [index for index, step in enumerate(self.steps) if step.first <= seq]
        return before[-1] if before else 0

    def _then(self, seq: int) -> Progress:
        return Progress.of(event for event in self.events if event.seq <= seq)

    def _page(self, screen: Screen, step: Step, *, whole: bool) -> None:
        screen.say()
        screen.say(f"── step {step.number}: {step.title}", style="bold")
        span = f"event {step.first}" if step.first == step.last else f"events {step.first} to {step.last}"
        spent = f"{look_of.tokens(step.tokens) or '0'} tokens, {look_of.cost(step.cost_usd)}"
        screen.say(
            f"   {span} · {step.at.astimezone():%Y-%m-%d %H:%M:%S} · the run so far: {spent}", style="dim"
        )
        brief = self.texts.brief(step)
        if brief is not None:
            _say_text(screen, brief, whole=whole)
        recalled = self.texts.recalled(step)
        if recalled:
            screen.say(f"  remembered ({len(recalled)}):")
            for memory in recalled:
                screen.say(f"    - {_line(memory)}")
        for event in step.events:
            screen.say(f"  {event.seq:>4} {tell_at(event)}")
        result = self.texts.result(step)
        if is_object(result):
            _say_result(screen, cast(JsonObject, result), whole=whole)
        files = self.texts.files(step)
        if files:
            screen.say(f"  files ({len(files)}):")
            for file in files:
                if whole:
                    _say_text(screen, file, whole=True)
                else:
                    screen.say(f"    - {file.name.removeprefix('file:')}")
        for told in self.texts.gone(step):
            screen.say(f"  {told.name}: {told.note}", style="yellow")

    def _say_state(self, screen: Screen, seq: int) -> None:
        then = self._then(seq)
        screen.say(f"At event {seq} run {self.run_id} was {then.status.replace('_', ' ')}:", style="bold")
        rows = look_of.table("state", "team", "tokens", "cost", "doing", right=("tokens", "cost"))
        for row in then.rows:
            rows.add_row(
                look_of.look(row.state).text(),
                look_of.clean(row.team),
                look_of.tokens(row.tokens),
                look_of.cost(row.cost_usd) if row.tokens else "",
                one_line(row.doing or row.verdict, 60),
            )
        screen.out.print(rows)

    def _plain(self, step: Step) -> JsonObject:
        brief = self.texts.brief(step)
        return {
            "step": step.number,
            "team": step.team,
            "stage": step.stage,
            "what": step.what,
            "at": step.at.isoformat(),
            "tokens_so_far": step.tokens,
            "cost_usd_so_far": round(step.cost_usd, 6),
            "brief": None if brief is None else _told(brief),
            "recalled": [
                {
                    "id": m.id,
                    "text": m.text,
                    "kind": m.kind,
                    "bank": m.bank,
                    "score": m.score,
                    "source": m.source,
                }
                for m in self.texts.recalled(step)
            ],
            "result": self.texts.result(step),
            "files": [_told(file) for file in self.texts.files(step)],
            "gone": [{"name": told.name, "note": told.note} for told in self.texts.gone(step)],
            "events": [record(event) for event in step.events],
        }


def _told(told: Told) -> JsonObject:
    return {"name": told.name, "text": told.text, "note": told.note}


def _state(then: Progress) -> JsonObject:
    return {
        "status": then.status,
        "round": then.round,
        "tokens": then.tokens,
        "cost_usd": round(then.cost_usd, 6),
        "stages": [
            {"team": row.team, "state": row.state, "verdict": row.verdict, "doing": row.doing}
            for row in then.rows
        ],
    }


def _line(memory: Memory) -> str:
    score = f", {memory.score:.2f}" if memory.score is not None else ""
    source = f" ({memory.bank or 'memory'}{score}; {memory.source})" if memory.source else ""
    which = f"{mark(memory.id)} " if memory.id is not None else ""
    return one_line(f"{which}{memory.kind}: {memory.text}{source}", 400)


def _say_text(screen: Screen, told: Told, *, whole: bool) -> None:
    name = told.name.removeprefix("file:")
    lines = look_of.clean(told.text).strip("\n").splitlines()
    shown = lines if whole else lines[:_BRIEF_LINES]
    screen.say(f"  {name}{f' ({told.note})' if told.note else ''}:")
    for line in shown:
        screen.say(f"    │ {line}")
    if len(lines) > len(shown):
        screen.say(f"    │ … and {len(lines) - len(shown)} lines more", style="dim")


def _say_result(screen: Screen, result: JsonObject, *, whole: bool) -> None:
    screen.say("  result:")
    for name, value in result.items():
        if value in (None, "", []):
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        screen.say(f"    {name}: {one_line(text, 100_000 if whole else 200)}")
