"""What people ask of the memory of teams, and tell it: the same from every surface."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from pydantic import BaseModel, ConfigDict

from core import clock
from core.errors import BadInput, NotFound
from core.events import EventLog
from core.json import JsonObject
from graph.forgetting import WorkingCopies
from memory.audit.phrases import index_words
from memory.bank import Bank
from memory.extraction.echoes import mark
from memory.extraction.subjects import subject_of
from memory.lineage.everywhere import Audit, everywhere
from memory.lineage.forgetting import forget as forget_everywhere
from memory.lineage.promotion import promote
from memory.lineage.taking_back import PERSON
from memory.records import SHARED, Added, BankInfo, Draft, Kind, Memory, Recalled, Source, unshown
from memory.screening import screen
from memory.service import Memories

TOLD: Final = "memory.told"
"""The kind of event that a person's memory comes from."""
SAYABLE: Final = (Kind.DIRECTIVE, Kind.FACT, Kind.DECISION)
"""What a person may tell a team."""


_NO_WORD: Final = (
    "no memory has any of these words: what is shown is what comes nearest, and may be about other things"
)


class KindUnknown(BadInput):
    """There is no such kind of memory."""


class BankUnclear(BadInput):
    """It is not clear whose memory is meant."""


class MemoryIdInvalid(BadInput):
    """That is no id of a memory."""


class House(Protocol):
    """Knows what there is."""

    def has_project(self, project: str) -> None:
        """Raises NotFound where there is no such project."""
        ...

    def is_team(self, name: str) -> None:
        """Raises NotFound where there is no such team."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which memories are meant."""

    project: str
    team: str | None = None
    shared: bool = False
    kinds: tuple[str, ...] = ()

    @property
    def bank(self) -> str | None:
        """The name of the one bank that is meant; None for all. Raises BankUnclear."""
        if self.shared and self.team is not None:
            raise BankUnclear("A team and `shared` mean two banks", todo="Give one of them")
        return SHARED if self.shared else self.team


class SourceShown(BaseModel):
    """Where a memory was read."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    run_id: str
    seq: int
    hash: str
    stage: str
    path: str | None
    line: int | None


class MemoryShown(BaseModel):
    """A memory for programs."""

    model_config = ConfigDict(frozen=True)

    id: int
    bank: str
    kind: str
    text: str
    """Empty once forgotten."""
    speaker: str
    at: datetime
    valid_from: datetime
    valid_to: datetime | None
    """When it ceased to hold; null while it does."""
    superseded_by: int | None
    derived_from: list[int]
    forgotten_at: datetime | None
    source: SourceShown


class MemoryFound(MemoryShown):
    """A memory that was found, and why."""

    score: float
    parts: dict[str, float]
    """What the score is made of."""


class MemoriesFound(BaseModel):
    """What the banks know about something, the best first."""

    model_config = ConfigDict(frozen=True)

    query: str
    memories: list[MemoryFound]
    degraded: list[str]
    """What was wrong with the search; empty as a rule."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of what a person told."""

    memory: Memory
    bank: str
    added: Added
    masked: tuple[str, ...]
    """Kinds of secrets that were masked before it was kept."""


async def search(
    memories: Memories, house: House, wanted: Wanted, query: str, *, limit: int, as_of: datetime | None = None
) -> MemoriesFound:
    """What the banks know about a query, the best first."""
    kinds = kinds_of(wanted.kinds)
    if not any(index_words(query)):
        raise BadInput("There is nothing to look for: no word is in it", todo="Give a word or several")
    hits: list[tuple[Recalled, str]] = []
    notes: dict[str, None] = {}
    for bank in await banks(memories, house, wanted):
        recall = await bank.recall(query, limit=limit, kinds=kinds, as_of=as_of)
        hits += [(hit, bank.name) for hit in recall.hits]
        notes |= {f"{bank.name}: {recall.degraded}": None} if recall.degraded else {}
    if hits and not any(hit.parts.get("bm25") for hit, _ in hits):
        notes |= {_NO_WORD: None}
    best = sorted(hits, key=lambda each: -each[0].score)[:limit]
    return MemoriesFound(
        query=query,
        memories=[
            MemoryFound(**dict(shown(hit.memory, bank)), score=round(hit.score, 6), parts=_rounded(hit.parts))
            for hit, bank in best
        ],
        degraded=list(notes),
    )


async def tell(
    memories: Memories, house: House, wanted: Wanted, text: str, kind: str, *, by: str, key: str | None = None
) -> Kept:
    """Keep what a person tells a team, or all of them; once for each `key`."""
    known = next(iter(kinds_of([kind]) or ()))
    if known not in SAYABLE:
        raise KindUnknown(
            f"An {kind} is made in a run, not told",
            untouched="Nothing was kept",
            todo=f"It may be one of {', '.join(SAYABLE)}",
        )
    name = wanted.bank
    if name is None:
        raise BankUnclear(
            "Who is to remember it?", untouched="Nothing was kept", todo="Name a team, or say `shared`"
        )
    if not any(index_words(text)):
        raise BadInput(
            "The text is empty: there is no word in it",
            untouched="Nothing was kept",
            todo="Say in a sentence what is to be remembered",
        )
    house.has_project(wanted.project)
    await asyncio.to_thread(house.is_team, name)
    bank = await memories.bank(wanted.project, name)
    chain, key = f"people/{wanted.project}", key or clock.new_id("told")
    payload: JsonObject = {"by": by, "bank": name, "kind": known.value}
    screened = screen(text)
    event = await EventLog(memories.db).append(
        chain, TOLD, payload, key=key, texts={"text": screened.text}, last=True
    )
    source = Source(chain, event.seq, event.hash, f"{PERSON} ({by})", end=len(text))
    subject = None if known is Kind.DIRECTIVE else subject_of(text)
    draft = Draft(text, known, source, PERSON, chain, event.at, subject)
    [added] = await bank.add([draft], key=key)
    return Kept(await memories.get(added.id), name, added, tuple(screened.found))


async def forget(
    memories: Memories, ids: Sequence[int], *, why: str, by: str
) -> tuple[tuple[int, ...], Audit, WorkingCopies]:
    """Forget memories, wherever their text stands; those that are gone, and what became of the audit and of
    what runs work with."""
    audit, copies = Audit(), WorkingCopies()
    gone = await forget_everywhere(
        memories,
        ids,
        why=why.strip() or "asked by a person",
        by=by,
        elsewhere=(*everywhere(audit), copies),
    )
    return gone, audit, copies


async def share(memories: Memories, info: BankInfo, number: int, *, by: str) -> Added:
    """Share a memory of that bank with all teams of its project."""
    if info.name == SHARED:
        raise BadInput(f"{mark(number)} is shared already", untouched="Nothing was changed")
    return await promote(memories, info.project, number, by=by)


async def banks(memories: Memories, house: House, wanted: Wanted) -> list[Bank]:
    """The banks that are meant; raises NotFound where there is no such project, or no such bank in it."""
    known = await memories.banks(wanted.project) if "\0" not in wanted.project else []
    if not known:
        house.has_project(wanted.project)
    names = [info.name for info in known]
    if wanted.bank is None:
        return [await memories.bank(wanted.project, name) for name in names]
    if wanted.bank not in names:
        await asyncio.to_thread(house.is_team, wanted.bank)
        return []
    return [await memories.bank(wanted.project, wanted.bank)]


async def bank_of(memories: Memories, memory: Memory) -> BankInfo:
    """The bank of a memory."""
    return next(info for info in await memories.banks() if info.id == memory.bank)


def no_team(name: str) -> NotFound:
    """There is no such team."""
    return NotFound(
        f"There is no team {name[:80]!a}", untouched="Nothing was changed", todo="See: factory teams"
    )


def kinds_of(names: Sequence[str]) -> list[Kind] | None:
    """The kinds of these names; None for none at all. Raises KindUnknown."""
    known = {kind.value: kind for kind in Kind}
    for name in names:
        if name not in known:
            raise KindUnknown(
                f"There is no kind {name[:80]!a} of memory", todo=f"It is one of {', '.join(known)}"
            )
    return [known[name] for name in names] or None


def number_in(name: str) -> int | None:
    """The id in `2.17`, `m2.17` or `[m2.17]`; None where it is none."""
    return unshown(name.strip().strip("[]").removeprefix("m"))


def id_in(name: str) -> int:
    """The id that was given. Raises MemoryIdInvalid."""
    if (number := number_in(name)) is None:
        raise MemoryIdInvalid(
            f"{name[:80]!a} is no id of a memory", todo="`factory memory search` shows ids, as m2.17"
        )
    return number


def shown(memory: Memory, bank: str) -> MemoryShown:
    """A memory for programs."""
    return MemoryShown(
        id=memory.id,
        bank=bank,
        kind=memory.kind.value,
        text=memory.text,
        speaker=memory.speaker,
        at=memory.at,
        valid_from=memory.valid_from,
        valid_to=memory.valid_to,
        superseded_by=memory.superseded_by,
        derived_from=list(memory.derived_from),
        forgotten_at=memory.forgotten_at,
        source=SourceShown.model_validate(memory.source),
    )


def _rounded(parts: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in parts.items() if value}
