"""Every statement of this package: `memories` across the banks of a project, `taken_back`."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

BANKS_OF = "SELECT id, name FROM factory.banks WHERE project = %(project)s ORDER BY id"
PROJECTS_OF = "SELECT DISTINCT project FROM factory.banks WHERE id = ANY (%(banks)s)"

MARK_TAKEN_BACK = """
INSERT INTO factory.taken_back (bank, number, at, why)
SELECT %(bank)s, n, %(at)s, %(why)s FROM unnest(%(numbers)s::int[]) n
ON CONFLICT (bank, number) DO UPDATE SET why = excluded.why
    WHERE taken_back.why = %(outdated)s AND excluded.why <> %(outdated)s
RETURNING number
"""
# Of these, what ended for no other reason than that what it was made of had been superseded.
OUTDATED = """
SELECT number FROM factory.taken_back
WHERE bank = %(bank)s AND number = ANY (%(numbers)s) AND why = %(outdated)s ORDER BY number
"""
UNMARK = "DELETE FROM factory.taken_back WHERE bank = %(bank)s AND number = %(number)s"
TAKEN_BACK = "SELECT number FROM factory.taken_back WHERE bank = %(bank)s AND number = ANY (%(numbers)s)"

_END = """
UPDATE factory.{memories} SET live = false, valid_to = greatest(valid_from, %(at)s)
WHERE live AND number = ANY (%(numbers)s) RETURNING number, terms, impacts, words
"""
_PREDECESSORS = """
SELECT number FROM factory.{memories} WHERE superseded_by = ANY (%(numbers)s) ORDER BY number DESC
"""
# Unless something that holds says the same, or is about the same.
_REVIVE = """
UPDATE factory.{memories} m SET live = true, valid_to = NULL, superseded_by = NULL
WHERE NOT live AND number = %(number)s AND forgotten_at IS NULL AND NOT EXISTS (
    SELECT FROM factory.{memories} x
    WHERE x.live AND (x.digest = m.digest OR x.subject = m.subject))
RETURNING number, terms, impacts, words
"""
_REVIVE_VECTORS = "UPDATE factory.{vectors} SET live = true WHERE number = ANY (%(numbers)s)"
_DROP_VECTORS = "DELETE FROM factory.{vectors} WHERE number = ANY (%(numbers)s)"
# What tells of the text goes with it: the digests, which a guess could be held against, and the subject.
_FORGET = """
WITH before AS (
    SELECT number, live, speaker, text, terms, impacts, words FROM factory.{memories}
    WHERE number = ANY (%(numbers)s) AND forgotten_at IS NULL FOR UPDATE
)
UPDATE factory.{memories} m SET text = '', forgotten_at = %(at)s, live = false, subject = NULL,
    valid_to = coalesce(m.valid_to, greatest(m.valid_from, %(at)s)),
    digest = decode(md5(random()::text), 'hex'), gist = decode(md5(random()::text), 'hex'),
    terms = '{{}}', impacts = '{{}}', words = 0
FROM before b WHERE m.number = b.number
RETURNING b.number, b.live, b.speaker, b.text, b.terms, b.impacts, b.words
"""


class Tables:
    """The statements for one bank."""

    def __init__(self, bank: int) -> None:
        memories = sql.Identifier(f"memories_{bank}")

        def of(text: str) -> sql.Composed:
            return sql.SQL(text).format(memories=memories)  # pyright: ignore[reportArgumentType]

        self.end = of(_END)
        self.predecessors = of(_PREDECESSORS)
        self.revive = of(_REVIVE)
        self.forget = of(_FORGET)


class Space:
    """The statements for one space of vectors."""

    def __init__(self, space: int) -> None:
        vectors = sql.Identifier(f"vectors_{space}")
        self.revive = sql.SQL(_REVIVE_VECTORS).format(vectors=vectors)
        self.drop = sql.SQL(_DROP_VECTORS).format(vectors=vectors)


_OF_RUN = """
SELECT bank, number FROM factory.{memories}
WHERE starts_with(session, %(run)s || '/') AND speaker <> ALL (%(speakers)s) AND kind = ANY (%(kinds)s)
    AND forgotten_at IS NULL
    AND (%(sessions)s::text[] IS NULL OR session = ANY (%(sessions)s))
"""
_DERIVED = "SELECT bank, number FROM factory.{memories} WHERE derived_from && %(ids)s::bigint[]"
_ALIVE = "SELECT bank, number FROM factory.{memories} WHERE live AND number = ANY (%(numbers)s)"
_SAYING = (
    "SELECT bank, number FROM factory.{memories}"
    " WHERE (digest = ANY (%(digests)s) OR gist = ANY (%(gists)s)) AND forgotten_at IS NULL"
)
_EVIDENCE = """
SELECT number, bank, text, kind, speaker, session, position, at, valid_from, valid_to, subject, superseded_by,
    source, derived_from, forgotten_at, digest
FROM factory.{memories}
WHERE live AND kind IN ('fact', 'decision') AND (subject = ANY (%(subjects)s) OR digest = ANY (%(digests)s))
"""
_OF_FILE = """
SELECT subject FROM factory.{memories}
WHERE live AND starts_with(subject, %(prefix)s) AND source ->> 'path' = %(path)s
"""

_WITH_WORD = """
SELECT bank, number, text FROM factory.{memories} WHERE forgotten_at IS NULL AND text ILIKE %(word)s
"""
_READ_IN = """
SELECT number, text, subject, source ->> 'path' AS path FROM factory.{memories}
WHERE live AND kind = 'fact' AND source ->> 'path' = ANY (%(paths)s) AND number < ALL (%(fresh)s)
"""
_SUPERSEDED = """
SELECT number FROM factory.{memories}
WHERE superseded_by = ANY (%(by)s) AND valid_to >= %(at)s ORDER BY number
"""


def of_run(banks: Sequence[int]) -> sql.Composed:
    """The memories of a run, or of some of its sessions."""
    return _across(_OF_RUN, banks)


def derived(banks: Sequence[int]) -> sql.Composed:
    """What was made of memories."""
    return _across(_DERIVED, banks)


def alive(banks: Sequence[int]) -> sql.Composed:
    """Of these numbers, in whatever bank, what holds."""
    return _across(_ALIVE, banks)


def saying(banks: Sequence[int]) -> sql.Composed:
    """What says the same, whether it holds or not."""
    return _across(_SAYING, banks)


def with_word(banks: Sequence[int]) -> sql.Composed:
    """What has a word in its text, whether it holds or not, in any case."""
    return _across(_WITH_WORD, banks)


def evidence(banks: Sequence[int]) -> sql.Composed:
    """What holds and says the same, or is about the same."""
    return _across(_EVIDENCE, banks)


def of_file(bank: int) -> sql.Composed:
    """What holds of a kind of subjects because a file says so."""
    return _across(_OF_FILE, [bank])


def read_in(bank: int) -> sql.Composed:
    """What holds because it was read in files, but for what was read just now."""
    return _across(_READ_IN, [bank])


def superseded(bank: int) -> sql.Composed:
    """What gave way to some memories of its bank since a time."""
    return _across(_SUPERSEDED, [bank])


def _across(statement: str, banks: Sequence[int]) -> sql.Composed:
    parts = [
        sql.SQL(statement).format(memories=sql.Identifier(f"memories_{bank}"))  # pyright: ignore[reportArgumentType]
        for bank in banks
    ]
    return sql.SQL(" UNION ALL ").join(parts)
