"""Where a belief comes from, back to run, stage, file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from core.database import Database
from core.errors import BadInput, NotFound
from core.events import Event, EventLog
from core.json import is_array, is_object
from core.texts import KeptText, Place
from memory.audit.phrases import Phrase
from memory.audit.search import stage_of
from memory.audit.stages import RECALLED, SNAPSHOT
from memory.evidence import Text, locate
from memory.records import Memory
from memory.service import Memories

_FILE: Final = "file:"
MOST: Final = 10
"""Origins that are shown."""
_LONG: Final = 400
"""Characters of a line that is shown whole; of a longer one, what stands around the phrase."""
_ASKED: Final = 200
"""Memories that a belief without a run is looked for in."""


class StageUnclear(BadInput):
    """It is not clear whose belief is meant."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A place that a belief comes from."""

    how: str
    """`memory`: recalled; `brief`, `result`, `file`: it stands in what the stage was given or wrote."""
    run_id: str
    stage: str
    seq: int
    """The event that holds it."""
    path: str | None
    line: int | None
    """Of the file, or of the brief."""
    text: str
    """The line itself; what it says where it is gone."""
    memory: int | None = None
    says: str | None = None
    """What the memory says; nothing of what is no memory."""
    told_at: int | None = None
    """The event by which the stage was told so, the first stage where several were."""
    told_to: tuple[str, ...] = ()
    """The stages that were told so by memory, or given it in their briefs, in their order."""
    section: str | None = None
    """The heading that it stands under in a brief."""


async def origins(
    db: Database, memories: Memories, phrase: str, *, run_id: str | None = None, stage: str | None = None
) -> list[Origin]:
    """Where a belief comes from: of all memories, or of what a run, or one stage of it, was told and wrote.

    Raises NotFound where nobody holds it, and StageUnclear.
    """
    wanted = Phrase(phrase)
    if run_id is not None:
        found = await _of_stage(db, memories, run_id, stage, wanted)
    elif stage is not None:
        raise StageUnclear("A stage belongs to a run", todo="Give --run too, as in --run last")
    else:
        found = await _of_memories(memories, wanted)
    if not found:
        where = f"in {run_id}" + (f", {stage}" if stage else "") if run_id else "in any memory"
        quoted = f"'{wanted.text}'" if "'" not in wanted.text and len(wanted.text) <= 80 else "PHRASE"
        raise NotFound(
            f"Nothing says “{' '.join(phrase.split())[:160]}” {where}",
            todo=f"Try other words, or look through every event and text: factory audit search {quoted}",
        )
    return found


async def _of_memories(memories: Memories, wanted: Phrase) -> list[Origin]:
    """Of all banks, the memories that say so."""
    found: dict[int, tuple[float, Memory]] = {}
    for info in await memories.banks():
        bank = await memories.bank(info.project, info.name)
        for hit in (await bank.recall(wanted.text, limit=_ASKED)).hits:
            if _says(wanted, hit.memory.text):
                found[hit.memory.id] = hit.score, hit.memory
    best = sorted(found.values(), key=lambda each: -each[0])
    return [await _origin_of(memories, memory, []) for _, memory in best[:MOST]]


async def _of_stage(
    db: Database, memories: Memories, run_id: str, stage: str | None, wanted: Phrase
) -> list[Origin]:
    """What the stage was told from memory, then what its brief, result and files say."""
    log = EventLog(db)
    events = await log.read(run_id, kinds=[RECALLED, SNAPSHOT])
    mine = [event for event in events if stage is None or stage in (event.team, stage_of(event))]
    if stage is not None and not mine:
        stages = sorted({name for event in events if (name := stage_of(event))})
        raise NotFound(
            f"Run {run_id} has no stage {stage[:80]!a} that has ended or been told anything",
            todo=f"It has: {', '.join(stages) or 'none yet'}",
        )
    texts = await log.texts(run_id, [event.seq for event in mine])
    told: dict[int, list[Event]] = {}
    for event in mine:
        if event.kind == RECALLED:
            for number in _recalled(texts, event, wanted):
                told.setdefault(number, []).append(event)
    origins = [await _origin_of(memories, await memories.get(one), events) for one, events in told.items()]
    for event in mine:
        if event.kind == SNAPSHOT:
            origins += _standing(event, texts, wanted, memory=bool(told))
    origins = _folded(origins)
    if not any(origin.how == "file" for origin in origins):
        # What the brief says was handed on by an earlier stage: there is the file.
        earlier = [event for event in events if event.kind == SNAPSHOT and event not in mine]
        if stage is not None and any(origin.how == "brief" for origin in origins):
            before = await log.texts(run_id, [event.seq for event in earlier])
            origins += [
                origin
                for event in earlier
                for origin in _standing(event, before, wanted, memory=True)
                if origin.how != "brief"
            ]
    return origins


def _folded(origins: Sequence[Origin]) -> list[Origin]:
    """With what several briefs say in the same line, as all do the requirement, told once."""
    kept: dict[object, Origin] = {}
    for number, origin in enumerate(origins):
        same = (origin.text, origin.section) if origin.how == "brief" else number
        first = kept.setdefault(same, origin)
        if origin.how == "brief":
            kept[same] = replace(first, told_to=(*first.told_to, origin.stage))
    return list(kept.values())


def _recalled(texts: Mapping[Place, KeptText], event: Event, wanted: Phrase) -> Iterator[int]:
    """The ids of a recall set's memories that say so."""
    kept = texts.get((event.seq, "recall"))
    value: Any = kept.value if kept is not None else None
    for told in value if is_array(value) else ():
        if is_object(told) and isinstance(told.get("id"), int) and _says(wanted, str(told.get("text"))):
            yield told["id"]


def _standing(
    event: Event, texts: Mapping[Place, KeptText], wanted: Phrase, *, memory: bool
) -> Iterator[Origin]:
    """The places of a stage's brief, result and files that say so, files first."""
    names = [name for seq, name in texts if seq == event.seq]
    for name in sorted(names, key=lambda one: (not one.startswith(_FILE), one != "result", one)):
        if memory and name == "brief":
            continue  # the brief repeats what was recalled, and that is traced already
        text = _whole(texts[event.seq, name].value)
        found = next(iter(wanted.stands_in(text)), None)
        if found is not None:
            is_file = name.startswith(_FILE)
            rows = text.split("\n")
            line = rows[found.line - 1].strip()
            yield Origin(
                how="file" if is_file else name,
                run_id=event.run_id,
                stage=stage_of(event) or event.team or "",
                seq=event.seq,
                path=name.removeprefix(_FILE) if is_file else None,
                line=found.line if is_file or name == "brief" else None,
                text=line if len(line) <= _LONG else found.excerpt,
                section=_heading(rows[: found.line]) if name == "brief" else None,
            )


def _heading(rows: list[str]) -> str | None:
    """The heading that the last of these lines stands under."""
    return next((row.lstrip("# ").strip() for row in reversed(rows) if row.startswith("#")), None)


async def _origin_of(memories: Memories, memory: Memory, told: Sequence[Event]) -> Origin:
    """Where a memory was read, with the line of the file where it is still kept, and who was told of it."""
    source = memory.source
    text = says = memory.text or "(forgotten)"
    if source.path is not None and memory.text:
        kept = await EventLog(memories.db).texts(source.run_id, [source.seq])
        file = kept.get((source.seq, f"{_FILE}{source.path}"))
        lines = str(file.value).splitlines() if file is not None and file.value is not None else []
        if source.line is not None and 0 < source.line <= len(lines):
            text = lines[source.line - 1].strip() or text
    return Origin(
        "memory",
        source.run_id,
        source.stage,
        source.seq,
        source.path,
        source.line,
        text,
        memory=memory.id,
        says=says,
        told_at=told[0].seq if told else None,
        told_to=tuple(dict.fromkeys(stage_of(event) or event.team or "" for event in told)),
    )


def _says(wanted: Phrase, text: str) -> bool:
    """Whether a memory says so: in these words, or in most of them."""
    return any(wanted.stands_in(text)) or locate(wanted.text, [Text(text)]) is not None


def _whole(value: Any) -> str:
    """A kept text as lines; the parts of a result, a line each."""
    if is_object(value) or is_array(value):
        parts: list[Any] = list(value.values()) if is_object(value) else list(value)
        return "\n".join(_whole(part) for part in parts if part is not None)
    return str(value)
