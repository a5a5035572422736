"""Take a text of the audit back, whole or in pieces, and leave the chain whole.

What happened stays proven: an event `text.forgotten` in the run's chain says which text, why and by whom, and
holds the hash of what is left. What was said is gone, with the salt of its old hash.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from core import clock, faults
from core.database import Database
from core.errors import NotFound
from core.events import EventLog
from core.json import JsonObject, canonical
from core.redaction import redact
from core.texts import FORGOTTEN, MARK, text_digest
from memory.audit import queries
from memory.audit.phrases import Phrase, Span
from memory.audit.search import bring_up_to_date, candidates, in_chain

_LITERAL: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
# One character of a literal: a pair of escaped surrogates is one, as JSON reads it.
_CHARACTER: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL
)


class TextMissing(NotFound):
    """There is no such text, or it is forgotten already."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A text of which something was forgotten."""

    run_id: str
    seq: int
    name: str
    pieces: int
    """How many were cut out; 0 where all of it was forgotten."""


@dataclass
class Forgotten:
    """What became of a phrase."""

    cuts: list[Cut] = field(default_factory=list[Cut])
    kept: list[tuple[str, int, str]] = field(default_factory=list[tuple[str, int, str]])
    """Where it stands in the chain itself, which cannot change: run, event, place. Such as a requirement."""


async def forget_phrase(db: Database, phrase: str, *, why: str, by: str) -> Forgotten:
    """Cut a phrase out of every text of every run in which it stands, imported ones too.

    Done again, it finds nothing more to do. Raises PhraseUnusable for one without a word.
    """
    wanted, done, log = Phrase(phrase), Forgotten(), EventLog(db)
    await bring_up_to_date(db)
    # All of them first: what is cut leaves the index that is walked along.
    places = [place async for batch in candidates(db, wanted.words, None) for place in batch]
    for run_id, group in groupby(places, lambda place: place[0]):
        for _, seq in group:
            texts = await log.texts(run_id, [seq])
            names = [name for of, name in texts if of == seq]
            done.cuts += [
                cut
                for name in names
                if (cut := await _cut(db, run_id, seq, name, wanted, why=why, by=by)) is not None
            ]
            for event in await log.at(run_id, [seq]):
                standing = in_chain(event, texts)
                done.kept += [(run_id, seq, at) for at, text in standing if any(wanted.stands_in(text))]
    return done


async def forget_text(db: Database, run_id: str, seq: int, name: str, *, why: str, by: str) -> Cut:
    """Forget all of one text. Raises TextMissing."""
    cut = await _cut(db, run_id, seq, name, None, why=why, by=by)
    if cut is None:
        raise TextMissing(
            f"Event {seq} of {run_id} has no text {name!r}, or it is forgotten already",
            todo=f"See what there is with: factory replay {run_id} --at {seq}",
        )
    return cut


async def _cut(
    db: Database, run_id: str, seq: int, name: str, phrase: Phrase | None, *, why: str, by: str
) -> Cut | None:
    """Forget all of a text, or where the phrase stands; None where there is nothing to forget."""
    while True:
        async with db.pool.connection() as connection:
            place = {"run_id": run_id, "seq": seq, "name": name}
            row = await (await connection.execute(queries.TEXT, place)).fetchone()
            if row is None:
                return None
            found = list(spans(row["body"], phrase)) if phrase else []
            if phrase and not found:
                return None
            salt = secrets.token_hex(16) if phrase else None
            digest = text_digest(salt, without(row["body"], found)) if salt else None
            # One event for one state of a text: whoever repeats it after a crash finds it done.
            key = f"forgotten/{seq}/{name}/{text_digest(row['salt'], row['body'])}"
            at = clock.now()
            left: JsonObject = {"seq": seq, "name": name, "digest": digest, "pieces": len(found)}
            record = canonical(
                {
                    "at": at.isoformat(),
                    "key": key,
                    "kind": FORGOTTEN,
                    "payload": {**left, "why": redact(why), "by": redact(by)},
                    "run_id": run_id,
                    "team": None,
                }
            )
            given = {
                **place,
                "at": at,
                "key": key,
                "record": record,
                "salt": salt,
                "firsts": [first + 1 for first, _ in found],
                "lasts": [last + 1 for _, last in found],
            }
            told = await (await connection.execute(queries.FORGET_TEXT, given)).fetchone()
        faults.point("audit.cut")
        if told is not None and told["record"] == record:
            return Cut(run_id, seq, name, len(found))
        # Somebody else forgot of it meanwhile: what is left is looked at again.


def without(body: str, found: Sequence[Span]) -> str:
    """The body with a mark in the place of each span; `factory.forget_text` does the same."""
    parts: list[str] = []
    place = 0
    for first, last in found:
        parts += [body[place:first], MARK]
        place = last
    return "".join([*parts, body[place:]])


def cut(text: str, phrase: Phrase) -> str:
    """A text with a mark wherever the phrase stands in it."""
    found = [one.span for one in phrase.stands_in(text)]
    return without(text, _merged(found)) if found else text


def spans(body: str, phrase: Phrase) -> Iterator[Span]:
    """Where a phrase stands in a body, in characters of its JSON, in order."""
    for literal in _LITERAL.finditer(body):
        if body[literal.end() : literal.end() + 1] == ":":
            continue  # the name of a field is no text
        text: str = json.loads(literal[0])
        found = list(phrase.stands_in(text))
        if not found:
            continue
        # Where each character of the text begins in the JSON, and where the last one ends.
        starts = [one.start() for one in _CHARACTER.finditer(literal[0], 1, len(literal[0]) - 1)]
        starts.append(len(literal[0]) - 1)
        for first, last in _merged([one.span for one in found]):
            yield literal.start() + starts[first], literal.start() + starts[last]


def _merged(found: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for first, last in sorted(found):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
