"""Every statement of the session audit that touches the database; the log's own stand in core/queries.py."""

# What a stage has spent on models, and which of its events hold what it recalled.
STAGE_SPENT = """
SELECT count(*) AS calls, coalesce(sum(input_tokens), 0) AS input_tokens,
    coalesce(sum(output_tokens), 0) AS output_tokens, coalesce(sum(cost_usd), 0) AS cost_usd,
    coalesce(sum(seconds), 0) AS seconds,
    (SELECT coalesce(array_agg(e.seq ORDER BY e.seq), '{}') FROM factory.events e
     WHERE e.run_id = %(run_id)s AND e.kind = %(recalled)s
       AND starts_with(e.key, %(stage)s || '/')) AS recalled
FROM factory.model_calls
WHERE run_id = %(run_id)s AND starts_with(key, %(stage)s || '/')
"""

CHAIN = """
SELECT run_id, seq AS events, hash, imported_at, imported_by FROM factory.run_heads
WHERE run_id = %(run_id)s AND seq > 0
"""

IMPORTED = """
SELECT run_id, seq AS events, hash, imported_at, imported_by FROM factory.run_heads
WHERE imported_at IS NOT NULL AND seq > 0
ORDER BY imported_at DESC, run_id
"""

# Ids sort by the time at which they were given. The service's own chain is no run's.
NEWEST_CHAIN = """
SELECT run_id FROM factory.run_heads WHERE imported_at IS NULL AND seq > 0 AND run_id <> 'service'
ORDER BY run_id DESC LIMIT 1
"""

MATCH_CHAINS = """
SELECT run_id FROM factory.run_heads WHERE starts_with(run_id, %(prefix)s) AND seq > 0
ORDER BY run_id = %(prefix)s DESC, run_id DESC LIMIT 3
"""

# How far the index of the search has come with each run.
INDEXED = """
SELECT h.run_id, h.seq, coalesce(i.seq, 0) AS indexed
FROM factory.run_heads h LEFT JOIN factory.audit_indexed i USING (run_id)
WHERE (%(run_id)s::text IS NULL OR h.run_id = %(run_id)s) AND h.seq > 0
ORDER BY h.run_id
"""

INDEX = """
INSERT INTO factory.audit_words (run_id, seq, words) VALUES (%(run_id)s, %(seq)s, %(words)s::int[])
ON CONFLICT (run_id, seq) DO UPDATE SET words = excluded.words
"""

INDEXED_TO = """
INSERT INTO factory.audit_indexed AS known (run_id, seq) VALUES (%(run_id)s, %(seq)s)
ON CONFLICT (run_id) DO UPDATE SET seq = greatest(known.seq, excluded.seq)
"""

# The events that hold all of the words, after that one, the newest run first.
CANDIDATES = """
SELECT run_id, seq FROM factory.audit_words
WHERE words @> %(words)s::int[] AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
  AND (%(after)s::text IS NULL OR run_id < %(after)s OR (run_id = %(after)s AND seq > %(seq)s))
ORDER BY run_id DESC, seq LIMIT %(limit)s
"""

# One import at a time: what is here already must not change while a file is held against it.
ONE_IMPORT = "SELECT pg_advisory_xact_lock(hashtextextended('factory.audit.import', 0))"

HASHES = "SELECT hash FROM factory.events WHERE run_id = %(run_id)s ORDER BY seq"

IMPORTED_COLUMNS = ("at", "kind", "team", "key", "record", "hash")
IMPORT_EVENTS = """
SELECT factory.import_events(%(run_id)s, %(by)s, %(ats)s::timestamptz[], %(kinds)s::text[], %(teams)s::text[],
    %(keys)s::text[], %(records)s::text[], %(hashs)s::text[])
"""

IMPORT_TEXTS = """
SELECT factory.import_texts(%(run_id)s, %(seqs)s::bigint[], %(names)s::text[], %(salts)s::text[],
    %(bodys)s::text[], %(forgotten)s::bigint[])
"""

TEXT = """
SELECT salt, body FROM factory.event_texts
WHERE run_id = %(run_id)s AND seq = %(seq)s AND name = %(name)s AND body IS NOT NULL
"""

FORGET_TEXT = """
SELECT record FROM factory.forget_text(%(run_id)s, %(seq)s, %(name)s, %(at)s, %(key)s, %(record)s, %(salt)s,
    %(firsts)s::int[], %(lasts)s::int[])
"""
