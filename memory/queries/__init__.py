"""Every statement of this package: the tables of banks (core/migrations/versions/r0007_banks.sql).

Of runs it knows their ids, and by the view `open_runs` which of them may be taken back yet.

Partitions are named, not reached through their parent: what a statement costs then depends on one bank alone.
"""

from __future__ import annotations

from functools import lru_cache

from psycopg import sql

# A bank with the space of an embedder, in one transaction. The bank's lock: see `embedding.space`.
MAKE_BANK = """
WITH made AS MATERIALIZED (SELECT factory.make_bank(%(project)s, %(name)s) AS id),
locked AS MATERIALIZED (SELECT id, pg_advisory_xact_lock(7169389, id) FROM made)
SELECT factory.make_space(id, %(embedder)s, %(dimension)s) FROM locked
"""
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
_STATE = """
SELECT b.id AS bank, b.live, s.id, s.embedder, s.dimension, s.whole, s.indexed
FROM factory.banks b LEFT JOIN factory.spaces s ON s.bank = b.id
"""
STATE = f"{_STATE} WHERE b.id = %(bank)s ORDER BY s.id"
STATE_OF_NAME = f"{_STATE} WHERE b.project = %(project)s AND b.name = %(name)s ORDER BY s.id"
DROP_SPACE = "SELECT factory.drop_space(%(space)s)"

# One writer of a bank at a time; others wait for its commit.
LOCK = "SELECT pg_advisory_xact_lock(7169389, %(bank)s)"  # a number of ours for the locks of banks

# For what a driven run adds: its commit does not wait for the disk, as that of a keyed event does not
# (core/queries.py). What a dying server loses of it, the node adds again, which has lost its checkpoint too.
# To plan what it looks for takes longer than to look.
LOCK_AGAINST_CHECKPOINT = """
SELECT set_config('synchronous_commit', 'off', true),
    set_config('plan_cache_mode', 'force_generic_plan', true), pg_advisory_xact_lock(7169389, %(bank)s)
"""

# How far a search by the graph goes, on this connection; and that it goes on until it has enough.
REACH = """
SELECT set_config('hnsw.ef_search', %(reach)s, false),
    set_config('hnsw.iterative_scan', 'strict_order', false)
"""
# To plan a search takes three milliseconds, and most of them less to carry out: one plan does for all, where
# it is sent together with the next statement.
ONE_PLAN = "SELECT set_config('plan_cache_mode', 'force_generic_plan', true)"
WHOLE = "UPDATE factory.spaces SET whole = true WHERE id = %(space)s AND NOT whole"

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

# What an addition has to know, in one journey: the bank's last number, what the same key added before, the
# live memories that the drafts may repeat or supersede (of a claim that may be taken back yet, with its run),
# and the last position of each of their sessions.
_LOOK = """
SELECT b.last, a.outcome,
    (SELECT jsonb_agg(jsonb_build_array(m.number, encode(m.digest, 'hex'), encode(m.gist, 'hex'), m.subject,
            (SELECT r.id FROM factory.open_runs r WHERE r.id = m.source ->> 'run_id'
                AND m.kind IN ('fact', 'decision') AND m.speaker <> 'person')))
        FROM factory.{memories} m WHERE m.bank = {bank} AND m.live AND (m.digest = ANY (%(digests)s)
            OR m.gist = ANY (%(gists)s) OR m.subject = ANY (%(subjects)s))) AS alike,
    (SELECT jsonb_object_agg(p.session, p.last) FROM (
        SELECT m.session, max(m.position) AS last FROM factory.{memories} m
        WHERE m.bank = {bank} AND m.session = ANY (%(sessions)s) GROUP BY m.session) p) AS positions
FROM factory.banks b LEFT JOIN factory.additions a ON a.bank = b.id AND a.key = %(key)s WHERE b.id = {bank}
"""
_INSERT = """
INSERT INTO factory.{memories} (bank, number, text, kind, speaker, session, position, at, valid_from, subject,
    derived_from, source, digest, gist, terms, impacts, words, live, valid_to, superseded_by)
SELECT {bank}, d.number, d.text, d.kind, d.speaker, d.session, d.position, d.at, d.valid_from, d.subject,
    d.derived_from, d.source, decode(d.digest, 'hex'), decode(d.gist, 'hex'), d.terms, d.impacts, d.words,
    d.live, d.valid_to, d.superseded_by
FROM jsonb_to_recordset(%(drafts)s) AS d (number int, text text, kind text, speaker text, session text,
    position int, at timestamptz, valid_from timestamptz, subject text, derived_from bigint[], source jsonb,
    digest text, gist text, terms int[], impacts smallint[], words int, live boolean, valid_to timestamptz,
    superseded_by int)
"""
_SUPERSEDE = """
UPDATE factory.{memories} SET live = false, valid_to = greatest(valid_from, %(at)s), superseded_by = %(by)s
WHERE bank = {bank} AND live AND number = %(number)s RETURNING number, terms, impacts, words
"""
_VECTORS = (
    "INSERT INTO factory.{vectors} (space, number, live, embedding) VALUES {rows} ON CONFLICT DO NOTHING"
)
_VECTOR = sql.SQL("({space}, %s, %s, %b::public.halfvec)")
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
SELECT %(bank)s, d.term, d.more FROM unnest(%(counted)s::int[], %(more)s::int[]) AS d(term, more)
ON CONFLICT (bank, term) DO UPDATE SET memories = t.memories + excluded.memories
"""
# All that an addition writes beside memories and vectors. A space that got no vector is not whole any more.
FINISH = f"""
WITH posted AS ({POST}), counted AS ({COUNT_TERMS}), grown AS ({GROW} AND %(last)s::int > 0),
unwhole AS (UPDATE factory.spaces SET whole = false
    WHERE bank = %(bank)s AND whole AND id <> ALL (%(filled)s) AND %(last)s::int > 0)
INSERT INTO factory.additions (bank, key, outcome) VALUES (%(bank)s, %(key)s, %(outcome)s)
"""  # noqa: S608  (of the statements above)

_ONE = f"{_MEMORY} WHERE bank = {{bank}} AND number = %(number)s"
_SOME = f"{_MEMORY} WHERE bank = {{bank}} AND number = ANY (%(numbers)s)"
# More than will be told, so that the sources of most are not parsed.
_LIKELY = _SOME.replace(" source,", " source::text AS source,")
_DIRECTIVES = f"{_MEMORY} WHERE bank = {{bank}} AND live AND kind = 'directive' ORDER BY number"
# The same, and the memories of these numbers, whatever became of them.
_TOLD = f"({_DIRECTIVES}) UNION ALL {_SOME} AND NOT (live AND kind = 'directive')"
_LIST = f"""{_MEMORY}
WHERE bank = {{bank}} AND (live OR %(past)s) AND forgotten_at IS NULL AND number > %(after)s
    AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s))
ORDER BY number LIMIT %(limit)s
"""
# The same, and those of these numbers, whatever became of them: which are which, `fresh` says.
_LIST_AND_SOME = f"""
SELECT *, true AS fresh FROM ({_LIST}) listed UNION ALL SELECT *, false AS fresh FROM ({_SOME}) named
"""  # noqa: S608  (of the statements above)


class Tables:
    """The statements for one bank.

    Those of each stage are prepared when they are first sent: by itself the driver waits until one was sent
    five times on one connection.
    """

    def __init__(self, bank: int) -> None:
        memories = sql.Identifier(f"memories_{bank}")

        def of(text: str) -> bytes:
            composed = sql.SQL(text).format(memories=memories, bank=sql.Literal(bank))  # pyright: ignore[reportArgumentType]
            return composed.as_bytes()

        self.look = of(_LOOK)
        self.insert = of(_INSERT)
        self.supersede = of(_SUPERSEDE)
        self.one = of(_ONE)
        self.some = of(_SOME)
        self.likely = of(_LIKELY)
        self.list = of(_LIST)
        self.list_and_some = of(_LIST_AND_SOME)
        self.directives = of(_DIRECTIVES)
        self.told = of(_TOLD)


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

        def of(text: str, **more: sql.Composable) -> bytes:
            return sql.SQL(text).format(**names, **more).as_bytes()  # pyright: ignore[reportArgumentType]

        self._row = _VECTOR.format(space=sql.Literal(space))
        self._of = of
        self._inserts: dict[int, bytes] = {}
        self.past = of(_VECTORS_PAST)
        self.unembedded = of(_UNEMBEDDED)
        self.fill = of(_FILL)

    def insert(self, rows: int) -> bytes:
        """The insert of so many vectors: number, live and the vector of each, in turn."""
        if rows not in self._inserts:
            self._inserts[rows] = self._of(_VECTORS, rows=sql.SQL(", ").join([self._row] * rows))
        return self._inserts[rows]


space = lru_cache(maxsize=1000)(Space)
"""The statements for a space, composed once."""
