"""The one statement of a recall: what words and vectors put forward, its neighbours, and the parts of scores.

Candidates are found by what is cheap (of a frequent word only the memories that it says most about are read,
vectors go by a graph in a large bank); what is found is then scored exactly. Of a small bank all scores are
computed at once: to look them up one by one for what is found takes longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from psycopg import sql

When = Literal["now", "now, chosen", "now, filtered", "then"]
"""What may be answered with: all that holds; what of it is of some kinds, chosen from what all put forward,
or from what these kinds do; what held, and was known, at some time. To choose afterwards is quicker, and
enough unless the kinds are rare."""

# What of a memory m must hold to be an answer.
_HOLDS = {
    "now": "m.live AND m.valid_from <= %(as_of)s",
    "now, chosen": "m.live AND m.valid_from <= %(as_of)s AND m.kind = ANY (%(kinds)s::text[])",
    "now, filtered": "m.live AND m.valid_from <= %(as_of)s AND m.kind = ANY (%(kinds)s::text[])",
    "then": """m.forgotten_at IS NULL AND m.valid_from <= %(as_of)s AND m.at <= %(as_of)s
        AND (m.valid_to IS NULL OR m.valid_to > %(as_of)s)
        AND (%(kinds)s::text[] IS NULL OR m.kind = ANY (%(kinds)s::text[]))""",
}

# The rarest words of the query that the bank knows, with their weight by BM25.
_ASKED = """asked AS MATERIALIZED (
    SELECT t.term, ln(1 + (b.live - t.memories + 0.5::float8) / (t.memories + 0.5::float8)) / 1000 AS idf
    FROM factory.banks b JOIN factory.terms t ON t.bank = b.id
    WHERE b.id = %(bank)s AND t.term = ANY (%(terms)s::int[]) AND t.memories > 0
    ORDER BY idf DESC, t.term LIMIT {words}
)"""
_BM25 = "coalesce((SELECT sum(a.idf * m.impacts[array_position(m.terms, a.term)]) FROM asked a), 0)"

_WORDS = """words AS MATERIALIZED (
    SELECT p.number, sum(a.idf * p.impact) AS score
    FROM asked a CROSS JOIN LATERAL (
        SELECT p.number, p.impact FROM factory.postings p {only}
        WHERE p.bank = %(bank)s AND p.term = a.term {holds}
        ORDER BY p.impact DESC, p.number DESC LIMIT %(postings)s
    ) p
    GROUP BY p.number
)"""
_LEXICAL = """lexical AS MATERIALIZED (
    SELECT number, score FROM words ORDER BY score DESC, number LIMIT {candidates}
)"""
_ONLY = "JOIN factory.{memories} m ON m.bank = p.bank AND m.number = p.number"
# What is superseded has no postings. There is little of it, and it is rarely asked for.
_PAST = """past AS MATERIALIZED (
    SELECT m.number, {bm25} AS score FROM factory.{memories} m WHERE NOT m.live AND {holds}
    ORDER BY score DESC, m.number LIMIT {candidates}
)"""

_DISTANCE = """v.embedding::public.halfvec({dimension}) OPERATOR(public.<#>)
    %(vector)b::public.halfvec({dimension})"""
_NEAR = """near AS MATERIALIZED (
    SELECT v.number, {distance} AS score FROM factory.{vectors} v {only} WHERE {holds}
    ORDER BY {distance} LIMIT {candidates}
)"""
# The middle of the cosines is taken from some hundred memories, evenly spread over the bank.
_SPREAD = "greatest(1, b.{many} / 256)"
_MEDIAN = """median AS MATERIALIZED (
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY -({distance})) AS value
    FROM factory.banks b
    CROSS JOIN generate_series(1, b.last, {spread}) AS sample(number)
    CROSS JOIN LATERAL ({vector_of} = sample.number OFFSET 0) v
    WHERE b.id = %(bank)s
)""".replace("{spread}", _SPREAD.format(many="last"))
# All vectors at once. The query's is cast but once, and theirs, which need no graph, are not at all.
_ALL_NEAR = """close AS MATERIALIZED (
    SELECT v.number, v.embedding OPERATOR(public.<#>)
        (SELECT %(vector)b::public.halfvec({dimension})) AS score
    FROM factory.{vectors} v WHERE v.live
),
near AS MATERIALIZED (SELECT number, score FROM close ORDER BY score, number LIMIT {candidates}),
median AS MATERIALIZED (
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY -score) AS value FROM close
    WHERE mod(number, (SELECT {spread} FROM factory.banks b WHERE b.id = %(bank)s)) = 0
)""".replace("{spread}", _SPREAD.format(many="live"))

_SEEDS = "(SELECT number FROM {arm} ORDER BY {order}, number LIMIT {seeds})"
_ALL_OF = "SELECT number FROM {arm}"
_ORDER = {"near": "score"}  # a distance; the others are more for the better

_REST = """seeds AS (
    {seeds}
),
beside AS (
    SELECT n.number FROM seeds CROSS JOIN LATERAL ({memory_of} = seeds.number OFFSET 0) m
    CROSS JOIN LATERAL (
        SELECT n.number FROM factory.{memories} n WHERE n.bank = %(bank)s AND n.session = m.session
            AND n.position BETWEEN m.position - {beside} AND m.position + {beside} OFFSET 0
    ) n
),
chosen AS (
    {chosen}
)
SELECT m.number, m.session, m.position, m.speaker, m.at, {said} AS bm25, {closeness} AS vector, {median}
FROM chosen CROSS JOIN LATERAL ({memory_of} = chosen.number OFFSET 0) m {computed}
WHERE {holds}"""
# A row by its key. OFFSET 0 keeps the planner from reading a whole table because it takes many rows for more.
_MEMORY_OF = "SELECT * FROM factory.{memories} m WHERE m.bank = %(bank)s AND m.number"
# No join: the planner would put a cache of vectors around it, which took ten times as long as what it saved.
_CLOSENESS = """(SELECT -({distance}) FROM factory.{vectors} v
    WHERE v.space = %(space)s AND v.number = m.number)"""
_COMPUTED = "LEFT JOIN words ON words.number = m.number LEFT JOIN close ON close.number = m.number"
_VECTOR_OF = "SELECT v.embedding FROM factory.{vectors} v WHERE v.space = %(space)s AND v.number"


@dataclass(frozen=True, slots=True)
class Far:
    """How far a search looks."""

    words: int
    """Of the query."""
    candidates: int
    """That words, and as many that vectors, put forward."""
    seeds: int
    """Of these, whose neighbours are looked at."""
    beside: int
    """Places from them."""
    whole: bool = False
    """Whether the bank is so small that all its vectors, and all that its words say, can be read at once."""


@lru_cache(maxsize=1000)
def search(bank: int, space: int | None, dimension: int, when: When, far: Far) -> bytes:
    """The statement for a bank, and for a space of vectors where there is one.

    How far it looks stands in its text: that is what a plan hangs on, so that one does for every query.
    It answers rows of (number, session, position, speaker, at, BM25, cosine or null, median of the cosines).
    """
    holds = _HOLDS[when]
    arms = ["lexical"]
    filtered = when in {"now, filtered", "then"}
    whole = far.whole and space is not None and not filtered
    words = _fill(_WORDS, only=_ONLY if filtered else "", holds=f"AND {holds}" if filtered else "")
    parts = [_ASKED, words, _LEXICAL]
    if when == "then":
        parts.append(_fill(_PAST, holds=holds))
        arms.append("past")
    if space is not None:
        # Live ones alone are in the graph.
        live = {"now, filtered": f"v.live AND {holds}", "then": holds}.get(when, "v.live")
        only = "JOIN factory.{memories} m ON m.bank = %(bank)s AND m.number = v.number" if filtered else ""
        parts += [_ALL_NEAR] if whole else [_fill(_NEAR, only=only, holds=live), _MEDIAN]
        arms.append("near")
    seeds = " UNION ".join(_fill(_SEEDS, arm=arm, order=_ORDER.get(arm, "score DESC")) for arm in arms)
    chosen = " UNION ".join(_fill(_ALL_OF, arm=arm) for arm in (*arms, "beside"))
    rest = _fill(
        _REST,
        seeds=seeds,
        chosen=chosen,
        said="coalesce(words.score, 0)" if whole else _BM25,
        closeness="-close.score" if whole else _CLOSENESS if space is not None else "NULL::float8",
        computed=_COMPUTED if whole else "",
        median="(SELECT value FROM median)" if space is not None else "NULL::float8",
        holds=holds,
    )
    text = "WITH " + ",\n".join([*parts, rest])
    text = _fill(text, bm25=_BM25, distance=_DISTANCE, memory_of=_MEMORY_OF, vector_of=_VECTOR_OF)
    statement = sql.SQL(text).format(  # pyright: ignore[reportArgumentType]
        memories=sql.Identifier(f"memories_{bank}"),
        vectors=sql.Identifier(f"vectors_{space}"),
        dimension=sql.Literal(dimension),
        words=sql.Literal(far.words),
        candidates=sql.Literal(far.candidates),
        seeds=sql.Literal(far.seeds),
        beside=sql.Literal(far.beside),
    )
    # As short as it can be: the driver keeps the parsed form of statements below 4 KB.
    return " ".join(statement.as_string().split()).encode()


def _fill(text: str, **parts: str) -> str:
    """Put these parts in their places; the other places stay as they are."""
    for name, part in parts.items():
        text = text.replace("{" + name + "}", part)
    return text
