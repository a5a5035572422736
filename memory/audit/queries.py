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

# Ids sort by the time at which they were given.
NEWEST_CHAIN = """
SELECT run_id FROM factory.run_heads WHERE imported_at IS NULL AND seq > 0
ORDER BY run_id DESC LIMIT 1
"""

MATCH_CHAINS = """
SELECT run_id FROM factory.run_heads WHERE starts_with(run_id, %(prefix)s) AND seq > 0
ORDER BY run_id = %(prefix)s DESC, run_id DESC LIMIT 3
"""
