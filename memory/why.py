"""Why does a stage believe something? Which memory told it, and where that was said: run, stage, file and
line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.errors import NotFound
from core.events import Event, EventLog
from core.json import is_array
from memory.lineage import queries
from memory.records import Memory, place
from memory.service import Memories
from memory.telling import Told
from memory.words import analyse

_ASKED: Final = ("memory.recalled", "stage.snapshot")
_COVERED: Final = 0.7
"""Of the words of a phrase, how many a line must hold that it is about."""
_MOST: Final = 20
_DEEPEST: Final = 20
"""Steps back from a memory to those that it was made of."""


class NothingKnown(NotFound):
    """Nothing that the stage was told says so."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One memory on the way back to where it was said first."""

    memory: Memory
    """As it is now; its text is empty where it was forgotten."""
    steps: int
    """0: told itself; 1: what that was made of, and so on."""
    taken_back: str
    """Why it does not hold any more, where it was taken back; empty otherwise."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One way in which the stage came by it."""

    how: str
    """`memory`, or the heading in the brief below which it stands, such as `Requirement`."""
    said: str
    """The line as the stage was told it."""
    told: Told | None
    """The memory as it was told; None where the brief says it without memory."""
    at: Event
    """The event that proves it: the recall set, or the stage's snapshot with its brief."""
    origins: tuple[Origin, ...] = ()


async def why(memories: Memories, run_id: str, stage: str, about: int | str) -> list[Reason]:
    """How a stage came to believe a memory, by its id, or a phrase.

    `stage`: a team's id, or a stage's name such as `api_design.1`. The memories that it was told come first, then
    what its brief said otherwise. Raises NothingKnown.
    """
    log = EventLog(memories.db)
    events = [event for event in await log.read(run_id, kinds=_ASKED) if _of(event, stage)]
    texts = await log.texts(run_id, [event.seq for event in events])
    reasons: list[Reason] = []
    for event in events:
        if event.kind == "memory.recalled":
            kept: Any = texts[event.seq, "recall"].value if (event.seq, "recall") in texts else None
            for told in [Told.read(each) for each in kept] if is_array(kept) else []:
                if told.id == about or (isinstance(about, str) and _about(about, told.text)):
                    origins = tuple(await _origins(memories, told.id))
                    reasons.append(Reason("memory", told.text, told, event, origins))
        elif isinstance(about, str) and (event.seq, "brief") in texts:
            brief = texts[event.seq, "brief"].value
            reasons += [Reason(how, line, None, event) for how, line in _lines(str(brief or ""), about)]
    if not reasons:
        raise NothingKnown(
            f"Stage {stage[:60]!r} of run {run_id} was told nothing about {str(about)[:80]!r}",
            todo=f"See what it was told with `factory replay {run_id}`",
        )
    return sorted(reasons, key=lambda reason: reason.told is None)[:_MOST]


def _of(event: Event, stage: str) -> bool:
    return stage in {event.team, (event.key or "").partition("/")[0]}


def _about(phrase: str, text: str) -> bool:
    if " ".join(phrase.casefold().split()) in " ".join(text.casefold().split()):
        return True
    wanted = analyse(phrase).impacts.keys()
    return bool(wanted) and len(wanted & analyse(text).impacts.keys()) >= _COVERED * len(wanted)


def _lines(brief: str, phrase: str) -> Iterator[tuple[str, str]]:
    """The lines of a brief about the phrase, each with the headings above it; recalled ones are told apart."""
    above: dict[int, str] = {}
    for line in brief.splitlines():
        if heading := re.match(r"(#{1,6}) (.+)", line):
            depth = len(heading[1])
            above = {level: title for level, title in above.items() if level < depth} | {depth: heading[2]}
        elif line.strip() and "Recalled from earlier work" not in above.values() and _about(phrase, line):
            yield " / ".join(above.values()), line.strip()


async def _origins(memories: Memories, memory: int) -> list[Origin]:
    """The memory, and step by step all that it was made of."""
    found: list[Origin] = []
    waiting: Sequence[int] = [memory]
    for steps in range(_DEEPEST):
        following: list[int] = []
        for one in waiting:
            if any(origin.memory.id == one for origin in found):
                continue
            try:
                known = await memories.get(one)
            except NotFound:
                continue
            found.append(Origin(known, steps, await _taken_back(memories, one)))
            following += known.derived_from
        if not following:
            break
        waiting = following
    return found


async def _taken_back(memories: Memories, memory: int) -> str:
    bank, number = place(memory)
    async with memories.db.pool.connection() as connection:
        found = await connection.execute(queries.WHY_TAKEN_BACK, {"bank": bank, "number": number})
        row = await found.fetchone()
    return "" if row is None else str(row["why"])
