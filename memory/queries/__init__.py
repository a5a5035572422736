"""Every statement of this package: the tables of banks (core/migrations/versions/r0007_banks.sql).

Partitions are named, not reached through their parent: what a statement costs then depends on one bank alone.
"""

from __future__ import annotations

from functools import lru_cache

from psycopg import sql

MAKE_BANK = "SELECT factory.make_bank(%(project)s, %(name)s) AS id"
FIND_BANK = "SELECT id FROM factory.banks WHERE project = %(project)s AND name = %(name)s"
BANKS = """
SELECT b.id, b.project, b.name, b.live, coalesce(jsonb_agg(jsonb_build_object('id', s.id,
    'embedder', s.embedder, 'dimension', s.dimension, 'whole', s.whole, 'indexed', s.indexed) ORDER BY s.id)
    FILTER (WHERE s.id IS NOT NULL), '[]') AS spaces
FROM factory.banks b LEFT JOIN factory.spaces s ON s.bank = b.id
WHERE (%(project)s::text IS NULL OR b.project = %(project)s) AND (%(id)s::int IS NULL OR b.id = %(id)s)
GROUP BY b.id ORDER BY b.project, b.name
"""
MAKE_SPACE = "SELECT factory.make_space(%(bank)s, %(embedder)s, %(dimension)s) AS id"
INDEX_SPACE = "SELECT factory.index_space(%(space)s)"
SPACES = "SELECT id, dimension FROM factory.spaces WHERE bank = %(bank)s ORDER BY id"
STATE = """
SELECT b.live, s.id, s.embedder, s.dimension, s.whole, s.indexed
FROM factory.banks b LEFT JOIN factory.spaces s ON s.bank = b.id WHERE b.id = %(bank)s ORDER BY s.id
"""
DROP_SPACE = "SELECT factory.drop_space(%(space)s)"

# One writer of a bank at a time; others wait for its commit.
LOCK = "SELECT pg_advisory_xact_lock(7169389, %(bank)s)"  # a number of ours for the locks of banks

# For what a driven run adds: its commit does not wait for the disk, as that of a keyed event does not
# (core/queries.py). What a dying server loses of it, the node adds again, which has lost its checkpoint too.
LOCK_AGAINST_CHECKPOINT = """
SELECT set_config('synchronous_commit', 'off', true), pg_advisory_xact_lock(7169389, %(bank)s)
"""

# How far a search by the graph goes, on this connection; and that it goes on until it has enough.
REACH = """
SELECT set_config('hnsw.ef_search', %(reach)s, false),
    set_config('hnsw.iterative_scan', 'strict_order', false)
"""
WHOLE = "UPDATE factory.spaces SET whole = true WHERE id = %(space)s AND NOT whole"

# What the same key added before, and the last number of the bank.
BEGUN = """
SELECT b.last, a.outcome
FROM factory.banks b LEFT JOIN factory.additions a ON a.bank = b.id AND a.key = %(key)s WHERE b.id = %(bank)s
"""
REMEMBER_ADDITION = """
INSERT INTO factory.additions (bank, key, outcome) VALUES (%(bank)s, %(key)s, %(outcome)s)
"""
LAST = "SELECT last FROM factory.banks WHERE id = %(bank)s"
GROW = """
UPDATE factory.banks SET live = live + %(live)s, words = words + %(words)s, last = greatest(last, %(last)s)
WHERE id = %(bank)s
"""

_MEMORY = """
SELECT number, bank, text, kind, speaker, session, position, at, valid_from, valid_to, subject, superseded_by,
    source, derived_from, forgotten_at, terms
FROM factory.{memories}
"""

_ALIKE = """
SELECT number, digest, gist, subject FROM factory.{memories}
WHERE bank = {bank} AND live
    AND (digest = ANY (%(digests)s) OR gist = ANY (%(gists)s) OR subject = ANY (%(subjects)s))
"""
_POSITIONS = """
SELECT session, max(position) AS last FROM factory.{memories}
WHERE bank = {bank} AND session = ANY (%(sessions)s) GROUP BY session
"""
_INSERT = """
INSERT INTO factory.{memories} (bank, number, text, kind, speaker, session, position, at, valid_from, subject,
    derived_from, source, digest, gist, terms, impacts, words, live, valid_to, superseded_by)
VALUES (%(bank)s, %(number)s, %(text)s, %(kind)s, %(speaker)s, %(session)s, %(position)s, %(at)s,
    %(valid_from)s, %(subject)s, %(derived_from)s::bigint[], %(source)s, %(digest)s, %(gist)s,
    %(terms)s::int[], %(impacts)s::smallint[], %(words)s, %(live)s, %(valid_to)s, %(superseded_by)s)
"""
_SUPERSEDE = """
UPDATE factory.{memories} SET live = false, valid_to = greatest(valid_from, %(at)s), superseded_by = %(by)s
WHERE bank = {bank} AND live AND number = %(number)s RETURNING number, terms, impacts, words
"""
_VECTOR = """
INSERT INTO factory.{vectors} (space, number, live, embedding)
VALUES (%(space)s, %(number)s, %(live)s, %(vector)b::public.halfvec) ON CONFLICT DO NOTHING
"""
_UNEMBEDDED = """
SELECT m.number, m.speaker, m.text, m.live FROM factory.{memories} m
WHERE m.forgotten_at IS NULL AND m.number > %(after)s
    AND m.bank = {bank}
    AND NOT EXISTS (SELECT FROM factory.{vectors} v WHERE v.space = {space} AND v.number = m.number)
ORDER BY m.number LIMIT %(limit)s
"""
# What was superseded or forgotten while its text was being embedded is told apart under the bank's lock.
_FILL = """
INSERT INTO factory.{vectors} (space, number, live, embedding)
SELECT %(space)s, m.number, m.live, %(vector)b::public.halfvec FROM factory.{memories} m
WHERE m.bank = {bank} AND m.number = %(number)s AND m.forgotten_at IS NULL ON CONFLICT DO NOTHING
"""
_VECTORS_PAST = (
    "UPDATE factory.{vectors} SET live = false WHERE space = {space} AND number = ANY (%(numbers)s)"
)

POST = """
INSERT INTO factory.postings (bank, term, impact, number)
SELECT %(bank)s, p.term, p.impact, p.number
FROM unnest(%(terms)s::int[], %(impacts)s::smallint[], %(numbers)s::int[]) AS p(term, impact, number)
"""
UNPOST = """
DELETE FROM factory.postings p
USING unnest(%(terms)s::int[], %(impacts)s::smallint[], %(numbers)s::int[]) AS d(term, impact, number)
WHERE p.bank = %(bank)s AND p.term = d.term AND p.impact = d.impact AND p.number = d.number
"""
COUNT_TERMS = """
INSERT INTO factory.terms AS t (bank, term, memories)
SELECT %(bank)s, d.term, d.more FROM unnest(%(terms)s::int[], %(more)s::int[]) AS d(term, more)
ON CONFLICT (bank, term) DO UPDATE SET memories = t.memories + excluded.memories
"""
UNWHOLE = "UPDATE factory.spaces SET whole = false WHERE bank = %(bank)s AND whole AND id <> ALL (%(filled)s)"

_ONE = f"{_MEMORY} WHERE bank = {{bank}} AND number = %(number)s"
_SOME = f"{_MEMORY} WHERE bank = {{bank}} AND number = ANY (%(numbers)s)"
_LIST = f"""{_MEMORY}
WHERE bank = {{bank}} AND (live OR %(past)s) AND forgotten_at IS NULL AND number > %(after)s
    AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s))
ORDER BY number LIMIT %(limit)s
"""


class Tables:
    """The statements for one bank."""

    def __init__(self, bank: int) -> None:
        memories = sql.Identifier(f"memories_{bank}")

        def of(text: str) -> bytes:
            composed = sql.SQL(text).format(memories=memories, bank=sql.Literal(bank))  # pyright: ignore[reportArgumentType]
            return composed.as_bytes()

        self.alike = of(_ALIKE)
        self.positions = of(_POSITIONS)
        self.insert = of(_INSERT)
        self.supersede = of(_SUPERSEDE)
        self.one = of(_ONE)
        self.some = of(_SOME)
        self.list = of(_LIST)


tables = lru_cache(maxsize=1000)(Tables)
"""The statements for a bank, composed once."""


class Space:
    """The statements for one space of vectors."""

    def __init__(self, bank: int, space: int, dimension: int) -> None:
        self.id = space
        self.dimension = dimension
        names = {
            "memories": sql.Identifier(f"memories_{bank}"),
            "vectors": sql.Identifier(f"vectors_{space}"),
            "bank": sql.Literal(bank),
            "space": sql.Literal(space),
        }

        def of(text: str) -> bytes:
            return sql.SQL(text).format(**names).as_bytes()  # pyright: ignore[reportArgumentType]

        self.insert = of(_VECTOR)
        self.past = of(_VECTORS_PAST)
        self.unembedded = of(_UNEMBEDDED)
        self.fill = of(_FILL)


space = lru_cache(maxsize=1000)(Space)
"""The statements for a space, composed once."""
