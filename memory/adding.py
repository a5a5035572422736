"""Adding to a bank: what is new, what is a duplicate, what is superseded. One transaction, under its lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from core.incarnation import Connection, is_pinned
from memory import queries
from memory.records import Added, Draft, Outcome, identity
from memory.screening import screen
from memory.vectors import HalfVector
from memory.words import Words, analyse, clean, digest, gist
from models.embeddings.base import Vector

Embedded = Sequence[tuple[queries.Space, Sequence[Vector]]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A draft with what is stored of it beside its text."""

    draft: Draft
    text: str
    words: Words
    digest: bytes
    gist: bytes


def prepare(draft: Draft) -> Prepared:
    """Everything that can be computed before the bank's lock is held."""
    text = screen(clean(draft.text).strip()).text
    return Prepared(draft, text, analyse(spoken(draft.speaker, text)), digest(text), gist(text))


def spoken(speaker: str, text: str) -> str:
    """A memory as it is searched: with who said it."""
    return f"{speaker}: {text}"


@dataclass(slots=True)
class _Known:
    """The live memories that the drafts may repeat or supersede, kept up to date while they are added."""

    digests: dict[bytes, int] = field(default_factory=dict[bytes, int])
    gists: dict[bytes, list[int]] = field(default_factory=dict[bytes, list[int]])
    subjects: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    subject_of: dict[int, str | None] = field(default_factory=dict[int, str | None])

    def learn(self, number: int, one: bytes, other: bytes, subject: str | None) -> None:
        self.digests[one] = number
        self.gists.setdefault(other, []).append(number)
        self.subject_of[number] = subject
        if subject is not None:
            self.subjects.setdefault(subject, []).append(number)

    def forget(self, number: int) -> None:
        self.digests = {key: value for key, value in self.digests.items() if value != number}
        for numbers in (*self.gists.values(), *self.subjects.values()):
            if number in numbers:
                numbers.remove(number)

    def same(self, one: Prepared) -> tuple[int, Outcome] | None:
        """The memory that says the same, if there is one."""
        if (number := self.digests.get(one.digest)) is not None:
            return number, "duplicate"
        for number in self.gists.get(one.gist, []):
            if self.subject_of[number] == one.draft.subject:
                return number, "near_duplicate"
        return None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one addition does to the bank."""

    added: list[Added]
    new: list[tuple[int, Prepared]]  # with their numbers
    places: list[int]  # where they stand among the drafts
    gone: dict[int, int]  # superseded number: by which


def _decide(bank: int, last: int, known: _Known, drafts: Sequence[Prepared]) -> _Plan:
    plan = _Plan([], [], [], {})
    for place, one in enumerate(drafts):
        found = known.same(one)
        if found is not None:
            plan.added.append(Added(identity(bank, found[0]), found[1]))
            continue
        last += 1
        past = list(known.subjects.get(one.draft.subject, [])) if one.draft.subject is not None else []
        for number in past:
            plan.gone[number] = last
            known.forget(number)
        known.learn(last, one.digest, one.gist, one.draft.subject)
        plan.new.append((last, one))
        plan.places.append(place)
        plan.added.append(Added(identity(bank, last), "new", tuple(identity(bank, n) for n in past)))
    return plan


async def add(
    connection: Connection,
    bank: int,
    tables: queries.Tables,
    drafts: Sequence[Prepared],
    embedded: Embedded,
    key: str,
) -> list[Added]:
    """Add within the caller's transaction. `embedded` has, for each space, one vector for each draft."""
    given = {"bank": bank, "key": key}
    asked = {
        "digests": [one.digest for one in drafts],
        "gists": [one.gist for one in drafts],
        "subjects": [one.draft.subject for one in drafts if one.draft.subject is not None],
    }
    sessions = {"sessions": list({one.draft.session for one in drafts})}
    # Two journeys to the database: one to look, one to write. What looks comes after the lock all the same.
    async with connection.pipeline():
        await connection.execute(queries.LOCK_AGAINST_CHECKPOINT if is_pinned() else queries.LOCK, given)
        begun = await connection.execute(queries.BEGUN, given)
        alike = await connection.execute(tables.alike, asked)
        positions = await connection.execute(tables.positions, sessions)
        before = await begun.fetchone()
        assert before is not None, "a bank is made before it is added to"
        if before["outcome"] is not None:
            return [Added(one["id"], one["outcome"], tuple(one["superseded"])) for one in before["outcome"]]
        known = _Known()
        for row in await alike.fetchall():
            known.learn(row["number"], row["digest"], row["gist"], row["subject"])
        plan = _decide(bank, before["last"], known, drafts)
        last = {row["session"]: row["last"] for row in await positions.fetchall()}
        await _supersede(connection, bank, tables, plan)
        await _insert(connection, bank, tables, plan, last)
        await _embed(connection, bank, plan, embedded)
        outcome = [
            {"id": one.id, "outcome": one.outcome, "superseded": list(one.superseded)} for one in plan.added
        ]
        await connection.execute(queries.REMEMBER_ADDITION, given | {"outcome": Jsonb(outcome)})
    return plan.added


async def _supersede(connection: Connection, bank: int, tables: queries.Tables, plan: _Plan) -> None:
    """Let those that were there before give way to what is new."""
    drafts = {number: one.draft for number, one in plan.new}
    rows: list[DictRow] = []
    for number, by in plan.gone.items():
        if number not in drafts:
            given = {"number": number, "by": by, "at": _since(drafts[by])}
            rows += await (await connection.execute(tables.supersede, given)).fetchall()
    await withdraw(connection, bank, rows)


async def _insert(
    connection: Connection, bank: int, tables: queries.Tables, plan: _Plan, last: dict[str, int]
) -> None:
    """Keep what is new, each after the `last` position of its session."""
    if not plan.new:
        return
    drafts = {number: one.draft for number, one in plan.new}
    inserted: list[dict[str, Any]] = []
    for number, one in plan.new:
        draft, by = one.draft, plan.gone.get(number)
        position = last.get(draft.session, -1) + 1
        last[draft.session] = position
        inserted.append(
            {
                "bank": bank,
                "number": number,
                "text": one.text,
                "kind": draft.kind,
                "speaker": clean(draft.speaker),
                "session": clean(draft.session),
                "position": position,
                "at": draft.at,
                "valid_from": _since(draft),
                "subject": draft.subject,
                "derived_from": list(draft.derived_from),
                "source": Jsonb(asdict(draft.source)),
                "digest": one.digest,
                "gist": one.gist,
                "terms": list(one.words.impacts),
                "impacts": list(one.words.impacts.values()),
                "words": one.words.length,
                "live": by is None,
                "valid_to": None if by is None else max(_since(draft), _since(drafts[by])),
                "superseded_by": by,
            }
        )
    async with connection.cursor() as cursor:
        await cursor.executemany(tables.insert, inserted)
    posted = [(number, one.words) for number, one in plan.new if number not in plan.gone]
    await post(connection, bank, posted, last=plan.new[-1][0])


async def post(
    connection: Connection, bank: int, posted: Sequence[tuple[int, Words]], *, last: int = 0
) -> None:
    """Make live memories findable by their words; `last` is the bank's highest number since."""
    terms = [term for _, words in posted for term in words.impacts]
    given = {
        "bank": bank,
        "terms": terms,
        "impacts": [impact for _, words in posted for impact in words.impacts.values()],
        "numbers": [number for number, words in posted for _ in words.impacts],
    }
    await connection.execute(queries.POST, given)
    await _count(connection, bank, terms, 1)
    grown = {
        "bank": bank,
        "live": len(posted),
        "words": sum(words.length for _, words in posted),
        "last": last,
    }
    await connection.execute(queries.GROW, grown)


async def withdraw(connection: Connection, bank: int, rows: Sequence[DictRow]) -> None:
    """Take memories (number, terms, impacts, words) out of what is searched."""
    if not rows:
        return
    terms = [term for row in rows for term in row["terms"]]
    posted = {
        "bank": bank,
        "terms": terms,
        "impacts": [impact for row in rows for impact in row["impacts"]],
        "numbers": [row["number"] for row in rows for _ in row["terms"]],
    }
    await connection.execute(queries.UNPOST, posted)
    await _count(connection, bank, terms, -1)
    grown = {"bank": bank, "live": -len(rows), "words": -sum(row["words"] for row in rows), "last": 0}
    await connection.execute(queries.GROW, grown)
    numbers = {"numbers": [row["number"] for row in rows]}
    for space in await _spaces(connection, bank):
        await connection.execute(space.past, numbers)


async def _spaces(connection: Connection, bank: int) -> list[queries.Space]:
    found = await (await connection.execute(queries.SPACES, {"bank": bank})).fetchall()
    return [queries.space(bank, row["id"], row["dimension"]) for row in found]


async def _count(connection: Connection, bank: int, terms: Sequence[int], each: int) -> None:
    counted = sorted(Counter(terms).items())  # in one order: rows of a bank are only locked under its lock
    given = {"bank": bank, "terms": [term for term, _ in counted], "more": [each * n for _, n in counted]}
    await connection.execute(queries.COUNT_TERMS, given)


async def _embed(connection: Connection, bank: int, plan: _Plan, embedded: Embedded) -> None:
    """Store the vectors; a space that got none for a new memory is not whole any more."""
    if not plan.new:
        return
    for space, vectors in embedded:
        rows = [
            {
                "space": space.id,
                "number": number,
                "live": number not in plan.gone,
                "vector": HalfVector(vectors[place]),
            }
            for (number, _), place in zip(plan.new, plan.places, strict=True)
        ]
        async with connection.cursor() as cursor:
            await cursor.executemany(space.insert, rows)
    filled = [space.id for space, _ in embedded]
    await connection.execute(queries.UNWHOLE, {"bank": bank, "filled": filled})


def _since(draft: Draft) -> datetime:
    return draft.valid_from or draft.at
