"""Delta edits: how the next version of a page comes from the one before. Pure; no model, no database.

What a person wrote stays as it is and where it is. A line whose memories hold no more goes, or becomes what
took their place. What is new is put in by its weight, and where the page is full the lightest lines go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from memory.evidence import Text, locate
from memory.mental_models.page import FACTORY, LONGEST, Line, bounded, same, size
from memory.records import Kind, Memory
from memory.screening import screen

_WEIGHT: Final = {Kind.DECISION: 3, Kind.FACT: 2, Kind.EXPERIENCE: 1, Kind.DIRECTIVE: 0}
"""Directives stand at both ends of every brief; on the page they would stand there a third time."""
MOST_EDITS: Final = 20
MOST_REMOVED: Final = 5
"""Lines that still hold and that one refresh may take away: a model does not empty a page."""

Op = Literal["add", "replace", "remove"]


@dataclass(frozen=True, slots=True)
class Edit:
    """A change to a page that a model proposes."""

    op: Op
    line: int = 0
    """Which line it is about, from 1; 0 for a new one."""
    text: str = ""
    sources: tuple[int, ...] = ()
    """Ids of the memories that bear the text out."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a refresh knows of the bank."""

    memories: Mapping[int, Memory]
    """Those that the lines are from and those that are new, by id; forgotten and superseded ones too."""
    changed: tuple[Memory, ...] = ()
    """Those that came since the last version and hold."""

    def weightiest(self, most: int) -> list[Memory]:
        """Of what is new, what weighs most, the newest first among equals."""
        return sorted(self.changed, key=lambda one: (-_WEIGHT[one.kind], -one.id))[:most]

    def holds(self, line: Line) -> bool:
        """Whether a line may stand: a person's always, another as long as all it is from holds."""
        return line.by != FACTORY or (bool(line.sources) and all(self.live(one) for one in line.sources))

    def live(self, memory: int) -> bool:
        found = self.memories.get(memory)
        return found is not None and found.forgotten_at is None and found.valid_to is None

    def heir(self, line: Line) -> Memory | None:
        """The memory that took the place of the one that a line is from, where it is a single one."""
        if len(line.sources) != 1:
            return None
        found = self.memories.get(line.sources[0])
        while found is not None and found.superseded_by is not None:
            found = self.memories.get(found.superseded_by)
        return found if found is not None and self.live(found.id) and found.id != line.sources[0] else None

    def rank(self, line: Line) -> tuple[int, int]:
        """What a line weighs: what it is first, then how new."""
        found = [self.memories[one] for one in line.sources if one in self.memories]
        weight = max((_WEIGHT[memory.kind] for memory in found), default=0)
        return weight, max(line.sources, default=0)


def settled(lines: Sequence[Line], known: Known) -> list[Line]:
    """The lines that hold; one whose memory was superseded by another says that one instead."""
    kept: list[Line] = []
    for line in lines:
        if known.holds(line):
            kept.append(line)
        elif (heir := known.heir(line)) is not None and heir.kind is not Kind.DIRECTIVE:
            said = _said(heir)
            if not same(said.text, [*kept, *lines]):
                kept.append(said)
    return kept


def digested(lines: Sequence[Line], known: Known) -> tuple[Line, ...]:
    """The next version without a model: what is new stands in it by its weight."""
    kept = settled(lines, known)
    for memory in known.weightiest(len(known.changed)):
        line = _said(memory)
        cited = any(memory.id in other.sources for other in kept)
        if memory.kind is Kind.DIRECTIVE or cited or not line.text or same(line.text, kept):
            continue
        kept.insert(_place(line, kept, known), line)
    return tuple(fitted(kept, known))


def applied(
    lines: Sequence[Line], proposed: Sequence[Edit], known: Known
) -> tuple[tuple[Line, ...], list[str]]:
    """The next version by a model's edits, and which of them were refused and why.

    `lines` are numbered as the model was shown them.
    """
    slots: list[Line | None] = list(lines)
    added: list[Line] = []
    refused: list[str] = []
    removed = 0
    for number, edit in enumerate(proposed, start=1):
        why = _fault(edit, slots, known) if number <= MOST_EDITS else f"only {MOST_EDITS} edits are read"
        if not why and edit.op == "remove":
            removed += 1
            why = f"only {MOST_REMOVED} lines that hold may go" if removed > MOST_REMOVED else ""
        if why:
            refused.append(f"edit {number}: {why}")
        elif edit.op == "remove":
            slots[edit.line - 1] = None
        else:
            line = Line(bounded(screen(edit.text).text), sources=tuple(dict.fromkeys(edit.sources)))
            if edit.op == "replace":
                slots[edit.line - 1] = line
            elif not same(line.text, [*(one for one in slots if one), *added]):
                added.append(line)
    kept = [line for line in slots if line is not None]
    for line in added:
        kept.insert(_place(line, kept, known), line)
    return tuple(fitted(kept, known)), refused


def _fault(edit: Edit, slots: Sequence[Line | None], known: Known) -> str:
    """Why an edit is not made; empty where it is. Code holds a model to its sources."""
    if edit.op != "add":
        old = slots[edit.line - 1] if 1 <= edit.line <= len(slots) else None
        if old is None:
            return f"there is no line {edit.line}"
        if old.by != FACTORY:
            return f"line {edit.line} is {old.by}'s"
        if edit.op == "remove":
            return ""
    if not bounded(edit.text):
        return "it says nothing"
    if not edit.sources or not all(known.live(one) for one in edit.sources):
        return "it names no memory that it was shown and that holds"
    texts = [Text(known.memories[one].text) for one in edit.sources]
    if locate(bounded(edit.text), [*texts, Text("\n".join(text.text for text in texts))]) is None:
        return "its memories do not say so"
    return ""


def _said(memory: Memory) -> Line:
    return Line(bounded(memory.text), sources=(memory.id,))


def _place(line: Line, lines: Sequence[Line], known: Known) -> int:
    """Where a line goes: before the first of the factory's that weighs less, else after the last of them."""
    rank = known.rank(line)
    after = 0
    for place, other in enumerate(lines):
        if other.by == FACTORY:
            if known.rank(other) < rank:
                return place
            after = place + 1
    return after or len(lines)


def fitted(lines: Sequence[Line], known: Known) -> list[Line]:
    """The lines that fit the page: the lightest of the factory's go first, a person's never."""
    kept = [replace(line) for line in lines]
    while size(kept) > LONGEST:
        own = [(known.rank(line), -place) for place, line in enumerate(kept) if line.by == FACTORY]
        if not own:
            break
        del kept[-min(own)[1]]
    return kept
