"""Find a phrase in everything that the log holds: any event and any text of any run, imported ones too.

The index is a filter and nothing more. It is brought up to date by whoever searches, holds no words but their
hashes, and what it finds is read again from the log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Final

from core.database import Database
from core.errors import BadInput
from core.events import Event, EventLog
from core.json import JsonValue, is_array, is_object
from core.said import PREFIX
from core.texts import FIELD, KeptText, Place
from memory.audit import queries
from memory.audit.phrases import Phrase, index_words

MOST: Final = 1000
"""Places that one search gives at most."""
_REPEATING: Final = frozenset({"brief", "query"})
"""Places that repeat what was said before: what a stage is given, and what it looks for in memory."""
_MOST_READ: Final = 20_000
"""Events that one search reads at most: with words that stand everywhere, few of them hold the phrase."""
_TOGETHER: Final = 200
"""Events that are read at once."""


class LimitUnusable(BadInput):
    """That is no number of places to show."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A place where a phrase stands."""

    run_id: str
    seq: int
    at: datetime
    kind: str
    team: str | None
    stage: str | None
    """The stage inside the run, as `backend_engineering.1`; None outside of stages."""
    place: str
    """Where in the event: `brief`, `result.verified_facts[0]`, `file:src/app.py`, `question`."""
    line: int
    excerpt: str
    again: tuple[str, ...] = ()
    """Stages of the run whose brief, or question to memory, repeats this line, as all do a requirement."""


@dataclass(frozen=True, slots=True)
class Hits:
    """What a search found."""

    found: list[Hit]
    """The newest run first, each from its beginning."""
    runs: int
    """Runs that were looked through."""
    more: bool
    """There are more places than were asked for, or more events than one search reads."""


async def search(
    db: Database,
    phrase: Phrase,
    *,
    run_id: str | None = None,
    limit: int = 20,
    telling: Callable[[int], None] | None = None,
) -> Hits:
    """The places where the phrase stands, at most `limit`; in one run, where it is given.

    `telling` hears how many events have to be indexed first.
    """
    if not 1 <= limit <= MOST:
        raise LimitUnusable(f"{limit} places cannot be shown", todo=f"Ask for 1 to {MOST:,}")
    runs = await bring_up_to_date(db, run_id, telling)
    log, found, read = EventLog(db), _Found(), 0
    async for batch in candidates(db, phrase.words, run_id):
        read += len(batch)
        for run, seqs in groupby(batch, lambda one: one[0]):
            wanted = [seq for _, seq in seqs]
            texts = await log.texts(run, wanted)
            for event in await log.at(run, wanted):
                for said, hit in _hits(event, texts, phrase):
                    found.add(said, hit)
            if len(found.hits) > limit:
                return Hits(found.shown(limit), runs, more=True)
        if read >= _MOST_READ:
            return Hits(found.shown(limit), runs, more=True)
    return Hits(found.shown(limit), runs, more=False)


class _Found:
    """Places in their order; what a brief repeats of its own run is counted where it was said first."""

    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self._first: dict[tuple[str, str], int] = {}
        self._again: dict[int, dict[str, None]] = {}

    def add(self, said: str, hit: Hit) -> None:
        """Take a place in; `said` is the line that it stands in."""
        key = hit.run_id, said
        first = self._first.setdefault(key, len(self.hits))
        if first < len(self.hits) and hit.place in _REPEATING:
            if hit.stage is not None and hit.stage != self.hits[first].stage:
                self._again.setdefault(first, {})[hit.stage] = None
            return
        self.hits.append(hit)

    def shown(self, limit: int) -> list[Hit]:
        return [
            replace(hit, again=tuple(self._again.get(number, ())))
            for number, hit in enumerate(self.hits[:limit])
        ]


async def bring_up_to_date(
    db: Database, run_id: str | None = None, telling: Callable[[int], None] | None = None
) -> int:
    """Index what was written since the last time; how many runs there are."""
    async with db.pool.connection() as connection:
        cursor = await connection.execute(queries.INDEXED, {"run_id": run_id})
        rows = await cursor.fetchall()
    if telling is not None and (behind := sum(row["seq"] - row["indexed"] for row in rows)):
        telling(behind)
    log = EventLog(db)
    for row in rows:
        after, head = row["indexed"], row["seq"]
        while after < head:
            events = await log.read(row["run_id"], after=after, limit=_TOGETHER)
            if not events:
                break
            await index(db, row["run_id"], events)
            after = events[-1].seq
    return len(rows)


async def index(db: Database, run_id: str, events: Sequence[Event]) -> None:
    """Write the words of these events, and of what is left of their texts, in place of what was there."""
    last = max(event.seq for event in events)
    async with db.pool.connection() as connection, connection.transaction():
        await connection.execute(queries.INDEXED_TO, {"run_id": run_id, "seq": last})
        # Read under the lock of that row: what is forgotten meanwhile waits, and takes the words out again.
        texts = await EventLog(db).texts(run_id, [event.seq for event in events])
        rows = [{"run_id": run_id, "seq": one.seq, "words": sorted(_words(one, texts))} for one in events]
        async with connection.cursor() as cursor:
            await cursor.executemany(queries.INDEX, rows)


def strings(event: Event, texts: Mapping[Place, KeptText]) -> Iterator[tuple[str, str]]:
    """Every text of an event, with its place: those in its payload, and those kept beside it."""
    yield from in_chain(event, texts)
    for (seq, name), text in texts.items():
        if seq == event.seq:
            yield from _strings(text.value, name.removeprefix(PREFIX))


def in_chain(event: Event, texts: Mapping[Place, KeptText]) -> Iterator[tuple[str, str]]:
    """Those in the event's record itself, which never changes."""
    aside = {name.removeprefix(PREFIX) for seq, name in texts if seq == event.seq and name.startswith(PREFIX)}
    told = {name: value for name, value in event.payload.items() if name not in aside and name != FIELD}
    yield from _strings(told, "")


def _strings(value: JsonValue, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif is_object(value):
        for name, item in value.items():
            yield from _strings(item, f"{place}.{name}" if place else name)
    elif is_array(value):
        for number, item in enumerate(value):
            yield from _strings(item, f"{place}[{number}]")


def _words(event: Event, texts: Mapping[Place, KeptText]) -> set[int]:
    return {word for _, text in strings(event, texts) for word in index_words(text)}


def _hits(event: Event, texts: Mapping[Place, KeptText], phrase: Phrase) -> Iterator[tuple[str, Hit]]:
    """The places of an event, each with the line that it stands in."""
    for place, text in strings(event, texts):
        shown = 0
        for found in phrase.stands_in(text):
            if found.line == shown:
                continue  # one line is shown once
            shown = found.line
            first, last = found.span
            end = text.find("\n", last)
            said = text[text.rfind("\n", 0, first) + 1 : end if end >= 0 else len(text)]
            yield (
                " ".join(said.lstrip("> ").split()),
                Hit(
                    event.run_id,
                    event.seq,
                    event.at,
                    event.kind,
                    event.team,
                    stage_of(event),
                    place,
                    found.line,
                    found.excerpt,
                ),
            )


def stage_of(event: Event) -> str | None:
    """The stage that an event belongs to, as its key names it: `team.round`."""
    stage, slash, _ = (event.key or "").partition("/")
    return stage if slash and event.team and stage.startswith(f"{event.team}.") else None


async def candidates(
    db: Database, words: Sequence[int], run_id: str | None
) -> AsyncIterator[list[tuple[str, int]]]:
    """The events that hold all these words, in batches, the newest run first."""
    run, seq = None, 0
    while True:
        async with db.pool.connection() as connection:
            cursor = await connection.execute(
                queries.CANDIDATES,
                {"words": list(words), "run_id": run_id, "after": run, "seq": seq, "limit": _TOGETHER},
            )
            batch = [(str(row["run_id"]), int(row["seq"])) for row in await cursor.fetchall()]
        if batch:
            yield batch
        if len(batch) < _TOGETHER:
            return
        run, seq = batch[-1]
