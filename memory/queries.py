"""Every statement of this package: the tables of banks (core/migrations/versions/r0007_banks.sql).

Partitions are named, not reached through their parent: what a statement costs then depends on one bank alone.
"""

from __future__ import annotations

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
SPACES = (
    "SELECT id, embedder, dimension, whole, indexed FROM factory.spaces WHERE bank = %(bank)s ORDER BY id"
)
DROP_SPACE = "SELECT factory.drop_space(%(space)s)"

# One writer of a bank at a time; others wait for its commit.
LOCK = "SELECT pg_advisory_xact_lock(7169389, %(bank)s)"  # a number of ours for the locks of banks

DONE_BEFORE = "SELECT outcome FROM factory.additions WHERE bank = %(bank)s AND key = %(key)s"
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
    source, derived_from, forgotten_at
FROM factory.{memories}
"""

_ALIKE = """
SELECT number, digest, gist, subject FROM factory.{memories}
WHERE live AND (digest = ANY (%(digests)s) OR gist = ANY (%(gists)s) OR subject = ANY (%(subjects)s))
"""
_POSITIONS = """
SELECT session, max(position) AS last FROM factory.{memories}
WHERE session = ANY (%(sessions)s) GROUP BY session
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
WHERE live AND number = %(number)s RETURNING number, terms, impacts, words
"""
_VECTOR = """
INSERT INTO factory.{vectors} (space, number, live, embedding)
VALUES (%(space)s, %(number)s, %(live)s, %(vector)b::public.halfvec) ON CONFLICT DO NOTHING
"""
_NEAREST = """
SELECT number, -(embedding::public.halfvec({dimension}) OPERATOR(public.<#>)
    %(vector)b::public.halfvec({dimension})) AS score
FROM factory.{vectors} WHERE live
ORDER BY embedding::public.halfvec({dimension}) OPERATOR(public.<#>) %(vector)b::public.halfvec({dimension})
LIMIT %(limit)s
"""
_CLOSENESS = """
SELECT number, -(embedding OPERATOR(public.<#>) %(vector)b::public.halfvec) AS score
FROM factory.{vectors} WHERE number = ANY (%(numbers)s)
"""
_VECTORS_PAST = "UPDATE factory.{vectors} SET live = false WHERE number = ANY (%(numbers)s)"

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
# What the bank knows of the words of a query.
STATISTICS = """
SELECT b.live, b.last, t.term, t.memories FROM factory.banks b
LEFT JOIN factory.terms t ON t.bank = b.id AND t.term = ANY (%(terms)s::int[]) AND t.memories > 0
WHERE b.id = %(bank)s
"""
# The memories that hold words of the query, by BM25. Of a frequent word, those that it says most about.
LEXICAL = """
SELECT p.number, sum(q.idf * p.impact) / 1000 AS score
FROM unnest(%(terms)s::int[], %(idfs)s::float8[]) AS q(term, idf)
CROSS JOIN LATERAL (
    SELECT p.number, p.impact FROM factory.postings p WHERE p.bank = %(bank)s AND p.term = q.term
    ORDER BY p.impact DESC, p.number DESC LIMIT %(most)s
) p
GROUP BY p.number ORDER BY score DESC, p.number LIMIT %(limit)s
"""
UNWHOLE = "UPDATE factory.spaces SET whole = false WHERE bank = %(bank)s AND whole AND id <> ALL (%(filled)s)"

_ONE = f"{_MEMORY} WHERE number = %(number)s"
_SOME = f"{_MEMORY} WHERE number = ANY (%(numbers)s)"
_LIST = f"""{_MEMORY}
WHERE (live OR %(past)s) AND forgotten_at IS NULL AND number > %(after)s
    AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s))
ORDER BY number LIMIT %(limit)s
"""


class Tables:
    """The statements for one bank."""

    def __init__(self, bank: int) -> None:
        memories = sql.Identifier(f"memories_{bank}")

        def of(text: str) -> sql.Composed:
            return sql.SQL(text).format(memories=memories)  # pyright: ignore[reportArgumentType]

        self.alike = of(_ALIKE)
        self.positions = of(_POSITIONS)
        self.insert = of(_INSERT)
        self.supersede = of(_SUPERSEDE)
        self.one = of(_ONE)
        self.some = of(_SOME)
        self.list = of(_LIST)


class Space:
    """The statements for one space of vectors."""

    def __init__(self, space: int, dimension: int) -> None:
        self.id = space
        vectors = sql.Identifier(f"vectors_{space}")

        def of(text: str) -> sql.Composed:
            return sql.SQL(text).format(vectors=vectors, dimension=sql.Literal(dimension))  # pyright: ignore[reportArgumentType]

        self.insert = of(_VECTOR)
        self.nearest = of(_NEAREST)
        self.closeness = of(_CLOSENESS)
        self.past = of(_VECTORS_PAST)
