"""Adding to a bank: what is new, what is a duplicate, what is superseded. One transaction, under its lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from core.incarnation import Connection, is_pinned
from memory import queries
from memory.records import Added, Draft, Kind, Outcome, identity
from memory.screening import screen
from memory.vectors import HalfVector
from memory.words import Words, analyse, clean, digest, gist
from models.embeddings.base import Vector

_TOGETHER: Final = (64, 32, 16, 8, 7, 6, 5, 4, 3, 2, 1)
"""Vectors in one statement."""

_LONGEST_SUBJECT: Final = 400
"""Characters. An index of Postgres takes 2,704 bytes at most."""

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
    draft = as_kept(draft)
    text = draft.text
    return Prepared(draft, text, analyse(spoken(draft.speaker, text)), digest(text), gist(text))


def as_kept(draft: Draft) -> Draft:
    """The draft with its text and subject as a bank keeps them."""
    subject = None if draft.subject is None else about(draft.subject)
    return replace(draft, text=screen(clean(draft.text).strip()).text, subject=subject)


def about(subject: str) -> str:
    """A subject as it is kept: masked as a text is, and no longer than an index takes."""
    plain = screen(clean(subject)).text
    if len(plain) <= _LONGEST_SUBJECT:
        return plain
    return f"{plain[: _LONGEST_SUBJECT // 2]}… {sha256(plain.encode()).hexdigest()}"


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
    open_run_of: dict[int, str] = field(default_factory=dict[int, str])
    """The runs of those claims that are taken back if these are not completed."""

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

    def may_outlive(self, one: Prepared, number: int) -> bool:
        """Whether a claim stands when the memory that says the same does not: that of a run under way."""
        run = self.open_run_of.get(number, one.draft.source.run_id)
        return run != one.draft.source.run_id and one.draft.kind in {Kind.FACT, Kind.DECISION}


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
        if found is not None and not known.may_outlive(one, found[0]):
            plan.added.append(Added(identity(bank, found[0]), found[1]))
            continue
        last += 1
        past = list(known.subjects.get(one.draft.subject, [])) if one.draft.subject is not None else []
        # What is said again by another run is not contradicted: what was made of it stays.
        again = [] if found is None else [found[0]]
        past = [number for number in past if number not in again]
        for number in (*past, *again):
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
    """Add within the caller's transaction. `embedded` has, for each space, one vector for each draft.

    In a pipeline around the transaction it takes two journeys to the database: one to look, one to write.
    """
    asked = {
        "key": key,
        "digests": [one.digest for one in drafts],
        "gists": [one.gist for one in drafts],
        "subjects": [one.draft.subject for one in drafts if one.draft.subject is not None],
        "sessions": list({clean(one.draft.session) for one in drafts}),
    }
    # What looks comes after the lock, in a statement of its own.
    await connection.execute(queries.LOCK_AGAINST_CHECKPOINT if is_pinned() else queries.LOCK, {"bank": bank})
    there = await (await connection.execute(tables.look, asked, prepare=True)).fetchone()
    assert there is not None, "a bank is made before it is added to"
    if there["outcome"] is not None:
        return [Added(one["id"], one["outcome"], tuple(one["superseded"])) for one in there["outcome"]]
    known = _Known()
    for number, one, other, subject, open_run in there["alike"] or ():
        known.learn(number, bytes.fromhex(one), bytes.fromhex(other), subject)
        if open_run is not None:
            known.open_run_of[number] = open_run
    plan = _decide(bank, there["last"], known, drafts)
    await _supersede(connection, bank, tables, plan)
    if plan.new:
        inserted = {"drafts": Jsonb(_rows(plan, there["positions"] or {}))}
        await connection.execute(tables.insert, inserted, prepare=True)
        await _embed(connection, plan, embedded)
    await _finish(connection, bank, plan, [space.id for space, _ in embedded], key)
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


def _rows(plan: _Plan, last: dict[str, int]) -> list[dict[str, Any]]:
    """What is new, each after the `last` position of its session."""
    drafts = {number: one.draft for number, one in plan.new}
    rows: list[dict[str, Any]] = []
    for number, one in plan.new:
        draft, by = one.draft, plan.gone.get(number)
        session = clean(draft.session)
        position = last.get(session, -1) + 1
        last[session] = position
        rows.append(
            {
                "number": number,
                "text": one.text,
                "kind": draft.kind,
                "speaker": clean(draft.speaker),
                "session": session,
                "position": position,
                "at": draft.at.isoformat(),
                "valid_from": _since(draft).isoformat(),
                "subject": draft.subject,
                "derived_from": list(draft.derived_from),
                "source": asdict(draft.source),
                "digest": one.digest.hex(),
                "gist": one.gist.hex(),
                "terms": list(one.words.impacts),
                "impacts": list(one.words.impacts.values()),
                "words": one.words.length,
                "live": by is None,
                "valid_to": None if by is None else max(_since(draft), _since(drafts[by])).isoformat(),
                "superseded_by": by,
            }
        )
    return rows


async def _finish(connection: Connection, bank: int, plan: _Plan, filled: Sequence[int], key: str) -> None:
    """Make what is new findable by its words, count it, and keep what came of the addition."""
    posted = [(number, one.words) for number, one in plan.new if number not in plan.gone]
    outcome = [
        {"id": one.id, "outcome": one.outcome, "superseded": list(one.superseded)} for one in plan.added
    ]
    given = _posting(bank, posted, last=plan.new[-1][0] if plan.new else 0)
    await connection.execute(
        queries.FINISH, given | {"filled": filled, "key": key, "outcome": Jsonb(outcome)}
    )


async def post(connection: Connection, bank: int, posted: Sequence[tuple[int, Words]]) -> None:
    """Make live memories findable by their words."""
    given = _posting(bank, posted)
    for statement in (queries.POST, queries.COUNT_TERMS, queries.GROW):
        await connection.execute(statement, given)


def _posting(bank: int, posted: Sequence[tuple[int, Words]], *, last: int = 0) -> dict[str, Any]:
    """What the statements need that make memories findable; `last` is the bank's highest number since."""
    terms = [term for _, words in posted for term in words.impacts]
    return {
        "bank": bank,
        "terms": terms,
        "impacts": [impact for _, words in posted for impact in words.impacts.values()],
        "numbers": [number for number, words in posted for _ in words.impacts],
        "live": len(posted),
        "words": sum(words.length for _, words in posted),
        "last": last,
        **_counted(terms, 1),
    }


def _counted(terms: Sequence[int], each: int) -> dict[str, list[int]]:
    counted = sorted(Counter(terms).items())  # in one order: rows of a bank are only locked under its lock
    return {"counted": [term for term, _ in counted], "more": [each * n for _, n in counted]}


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
    await connection.execute(queries.COUNT_TERMS, {"bank": bank, **_counted(terms, -1)})
    grown = {"bank": bank, "live": -len(rows), "words": -sum(row["words"] for row in rows), "last": 0}
    await connection.execute(queries.GROW, grown)
    numbers = {"numbers": [row["number"] for row in rows]}
    for space in await _spaces(connection, bank):
        await connection.execute(space.past, numbers)


async def _spaces(connection: Connection, bank: int) -> list[queries.Space]:
    found = await (await connection.execute(queries.SPACES, {"bank": bank})).fetchall()
    return [queries.space(bank, row["id"], row["dimension"]) for row in found]


async def _embed(connection: Connection, plan: _Plan, embedded: Embedded) -> None:
    """Store the vectors of what is new."""
    for space, vectors in embedded:
        rows = [
            (number, number not in plan.gone, HalfVector(vectors[place]))
            for (number, _), place in zip(plan.new, plan.places, strict=True)
        ]
        # As few statements as can be: 20 rows go as 16 and 4.
        while rows:
            size = next(size for size in _TOGETHER if size <= len(rows))
            await connection.execute(space.insert(size), [value for row in rows[:size] for value in row])
            rows = rows[size:]


def _since(draft: Draft) -> datetime:
    return draft.valid_from or draft.at
