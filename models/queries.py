"""Every statement of this package that touches the database (tables `model_calls`, `embeddings`)."""

# One row for one (run, key). A call that went well is never changed; one that failed gives way to the next
# try under the same key, whose tokens, cost and time come on top: they were spent. What a budget kept of its
# settled requests until now is in the ledger with it; what is still set aside for one stays, and lapses. What
# other accounts charged of it is kept beside the row.
RECORD = """
WITH recorded AS (
    DELETE FROM factory.budget_reservations WHERE run_id = %(run_id)s AND call_key = %(key)s
        AND reserved_usd = 0
), written AS (
INSERT INTO factory.model_calls AS known (id, run_id, team, operative, call, alias, provider, account,
    model, input_tokens, output_tokens, cost_usd, seconds, status, error, at, key)
VALUES (%(id)s, %(run_id)s, %(team)s, %(operative)s, %(call)s, %(alias)s, %(provider)s,
    %(account)s, %(model)s, %(input_tokens)s, %(output_tokens)s, %(cost_usd)s, %(seconds)s,
    %(status)s, %(error)s, %(at)s, %(key)s)
ON CONFLICT (run_id, key) DO UPDATE SET
    alias = excluded.alias, provider = excluded.provider, account = excluded.account,
    model = excluded.model,
    input_tokens = known.input_tokens + excluded.input_tokens,
    output_tokens = known.output_tokens + excluded.output_tokens,
    cost_usd = known.cost_usd + excluded.cost_usd,
    seconds = known.seconds + excluded.seconds,
    status = excluded.status, error = excluded.error, at = excluded.at
WHERE known.status <> 'ok'
RETURNING run_id, key
)
INSERT INTO factory.model_charges (id, run_id, key, account, provider, model, input_tokens, output_tokens,
    cost_usd)
SELECT c.id, w.run_id, w.key, c.account, c.provider, c.model, c.input_tokens, c.output_tokens, c.cost_usd
FROM written w CROSS JOIN jsonb_to_recordset(%(charges)s) AS c(id text, account text, provider text,
    model text, input_tokens int, output_tokens int, cost_usd numeric)
"""

# What a run has spent, a row for each team.
USAGE = """
SELECT team, count(*) AS calls, count(*) FILTER (WHERE status = 'error') AS failed,
    coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(output_tokens), 0) AS output_tokens,
    coalesce(sum(cost_usd), 0) AS cost_usd, coalesce(sum(seconds), 0) AS seconds
FROM factory.model_calls
WHERE run_id = %(run_id)s
GROUP BY team
ORDER BY team
"""

# Vectors of texts, by the hash of the text.
KNOWN_VECTORS = """
SELECT hash, vector FROM factory.embeddings WHERE embedder = %(embedder)s AND hash = ANY (%(hashes)s)
"""
KEEP_VECTOR = """
INSERT INTO factory.embeddings (embedder, hash, vector) VALUES (%(embedder)s, %(hash)s, %(vector)s)
ON CONFLICT (embedder, hash) DO UPDATE SET vector = excluded.vector
"""
DROP_VECTORS = "DELETE FROM factory.embeddings WHERE hash = ANY (%(hashes)s)"

# Renew a process's share of an account's limit, and ask for more of it. One round trip.
LEASE_QUOTA = """
SELECT amount, ceiling, ask_again FROM factory.lease_quota(%(quota)s, %(holder)s, %(supply)s, %(held)s,
    %(want)s, %(least)s, %(seconds)s, %(window)s, %(late)s)
"""

RETURN_QUOTA = "SELECT factory.return_quota(%(quota)s, %(holder)s, %(busy)s, %(busy_seconds)s)"
