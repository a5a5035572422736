"""What a bank holds and answers with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

SHARED: Final = "factory-shared-world"
"""The bank of a project that all its teams read."""

LONGEST: Final = 16_000
"""Characters of a memory. What is longer is a document: its place is the workspace."""

_NUMBERS: Final = 1 << 32


class Kind(StrEnum):
    """What a memory is."""

    FACT = "fact"
    """Something that holds, or held."""
    EXPERIENCE = "experience"
    """What happened when something was tried."""
    DECISION = "decision"
    """What was chosen, and why."""
    DIRECTIVE = "directive"
    """A rule that a team always follows."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a memory was read: an event, and the span in its text or in a file."""

    run_id: str
    seq: int
    """The event in the run's chain."""
    hash: str
    """That event's hash."""
    stage: str
    path: str | None = None
    """A file in the stage's worktree; None where the event's own text is meant."""
    line: int | None = None
    """In that file, from 1."""
    start: int = 0
    """The first character of the span."""
    end: int = 0
    """The one after its last."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A memory that is to be kept."""

    text: str
    kind: Kind
    source: Source
    speaker: str
    """The team that says it; it is embedded and searched with the text."""
    session: str
    """What it was said in, `run/stage`: memories of one session are neighbours, in their order."""
    at: datetime
    """When it was said."""
    subject: str | None = None
    """What it is about, such as `interface:GET /loans`: it supersedes the bank's live memories with the same
    one. None where nothing is superseded."""
    derived_from: tuple[int, ...] = ()
    """Ids of the memories that it was made from."""
    valid_from: datetime | None = None
    """Since when it holds; None means `at`."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory as it is kept."""

    id: int
    bank: int
    text: str
    """Empty once forgotten."""
    kind: Kind
    speaker: str
    session: str
    position: int
    """In its session, from 0."""
    at: datetime
    valid_from: datetime
    valid_to: datetime | None
    """When it ceased to hold; None while it does."""
    subject: str | None
    superseded_by: int | None
    """The id of the memory that took its place."""
    source: Source
    derived_from: tuple[int, ...]
    forgotten_at: datetime | None


Outcome = Literal["new", "duplicate", "near_duplicate"]
"""`new`: kept. `duplicate`: the bank has the same text, but for case, width and space. `near_duplicate`: it
has the same words in the same order, but for their endings, punctuation and words that carry nothing."""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a draft."""

    id: int
    """Of the new memory, or of the one that says the same."""
    outcome: Outcome
    superseded: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Recalled:
    """A memory that was found, and why."""

    memory: Memory
    score: float
    parts: dict[str, float] = field(default_factory=dict[str, float])
    """What each part of recall gave to the score: `bm25`, `vector`, `neighbours`, `dates`, `speaker`."""


@dataclass(frozen=True, slots=True)
class Recall:
    """The answer to a query, the best first."""

    query: str
    bank: int
    embedder: str | None
    """Whose vectors were used; None where words alone had to do."""
    hits: tuple[Recalled, ...]
    considered: int
    """Memories that were scored."""
    as_of: datetime | None
    degraded: str = ""
    """Why vectors are missing, wholly or for some memories; empty where nothing is."""


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """The vectors of a bank by one embedder."""

    id: int
    embedder: str
    dimension: int
    whole: bool
    """Whether every live memory has its vector."""
    indexed: bool
    """Whether search goes by a graph; exact without."""


@dataclass(frozen=True, slots=True)
class BankInfo:
    """A bank, and how much is in it."""

    id: int
    project: str
    name: str
    live: int
    """Memories that are neither superseded nor forgotten."""
    spaces: tuple[SpaceInfo, ...]


def identity(bank: int, number: int) -> int:
    """The id of a memory: its bank is in it, so that an id alone leads to the partition."""
    return bank * _NUMBERS + number


def place(memory: int) -> tuple[int, int]:
    """Bank and number of the memory with this id."""
    return divmod(memory, _NUMBERS)


def shown(memory: int) -> str:
    """A memory's id as people and models read it: its bank and its number there, `2.17`."""
    bank, number = place(memory)
    return f"{bank}.{number}" if bank else str(number)


def unshown(text: str) -> int | None:
    """The id in `2.17`, or in the plain number that ids were shown as before; None where it is none."""
    bank, dot, number = text.partition(".")
    parts = (bank, number) if dot else (bank,)
    if not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in parts):
        return None
    if not dot:
        return int(bank)
    fits = int(number) < _NUMBERS and int(bank) < _NUMBERS // 2  # an id is a bigint
    return identity(int(bank), int(number)) if fits else None
