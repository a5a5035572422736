"""Every statement about budgets and costs. What changes sums is a function in r0006_budgets.sql
or after it."""

SET = "SELECT factory.set_budgets(%(scopes)s::text[], %(subjects)s::text[], %(caps)s::numeric[])"
EXTEND = "SELECT factory.extend_budget(%(approval)s, %(budget)s, %(amount)s) AS applied"
RESERVE = "SELECT factory.reserve_budgets(%(calls)s, %(share)s, %(day)s) AS answer"
# Does not wait for the disk. The call's row in the ledger, which follows, carries it there; where the server
# dies before that, what was set aside stands as it was, and is counted in full when it lapses.
SETTLE = """
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS set)
SELECT factory.settle_budgets(%(requests)s) FROM quick
"""
LAPSE = "SELECT factory.lapse_budgets(%(run_id)s) AS lapsed"

# The project that a run belongs to.
PROJECT = """
SELECT p.name FROM factory.runs r JOIN factory.projects p ON p.id = r.project_id WHERE r.id = %(run_id)s
"""

# Which of these budgets there are, or the one of this day.
APPLYING = """
SELECT id FROM factory.budgets
WHERE id = ANY (%(ids)s) OR id = 'day:' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD')
ORDER BY id
"""

# Budgets by id, those that come after one; of some scope, run, or projects only.
PAGE = """
SELECT b.id, b.scope, b.subject, b.base_usd + b.extended_usd AS cap_usd, b.extended_usd, b.extensions,
    b.spent_usd, b.reserved_usd
FROM factory.budgets b
WHERE (%(after)s::text IS NULL OR b.id > %(after)s COLLATE "C")
  AND (%(id)s::text IS NULL OR b.id = %(id)s)
  AND (%(scope)s::text IS NULL OR b.scope = %(scope)s)
  AND (%(run_id)s::text IS NULL OR split_part(b.subject, '/', 1) = %(run_id)s AND b.scope IN ('run', 'stage'))
  AND (%(projects)s::text[] IS NULL OR CASE
        WHEN b.scope IN ('project', 'team') THEN split_part(b.subject, '/', 1) = ANY (%(projects)s)
        WHEN b.scope IN ('run', 'stage') THEN EXISTS (
            SELECT 1 FROM factory.runs r JOIN factory.projects p ON p.id = r.project_id
            WHERE r.id = split_part(b.subject, '/', 1) AND p.name = ANY (%(projects)s))
        ELSE false END)
ORDER BY b.id COLLATE "C" LIMIT %(limit)s
"""

# The budgets that a run is under, those of its stages and teams among them.
OF_RUN = """
SELECT scope, subject, base_usd + extended_usd AS cap_usd, extended_usd, extensions, spent_usd, reserved_usd
FROM factory.budgets
WHERE id IN ('run:' || %(run_id)s, 'project:' || %(project)s,
             'day:' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD'))
   OR (scope = 'stage' AND starts_with(subject, %(run_id)s || '/'))
   OR (scope = 'team' AND starts_with(subject, %(project)s || '/'))
   OR (scope = 'account' AND subject IN (
        SELECT CASE WHEN account = '' THEN provider ELSE account END FROM factory.model_spending
        WHERE run_id = %(run_id)s))
ORDER BY array_position(ARRAY['run', 'project', 'day', 'account', 'team', 'stage'], scope), subject
"""

# What was spent, a row for each value of one dimension, and a last one for all. {dimension} is one of
# `costs.DIMENSIONS`, never a person's text.
COSTS = """
SELECT {dimension} AS name, GROUPING({dimension}) = 1 AS is_total, coalesce(sum(c.calls), 0) AS calls,
    coalesce(sum(c.calls) FILTER (WHERE c.status <> 'ok'), 0) AS failed,
    coalesce(sum(c.input_tokens), 0) AS input_tokens, coalesce(sum(c.output_tokens), 0) AS output_tokens,
    coalesce(sum(c.cost_usd), 0) AS cost_usd, coalesce(sum(c.seconds), 0) AS seconds
FROM factory.model_spending c
LEFT JOIN factory.runs r ON r.id = c.run_id
LEFT JOIN factory.projects p ON p.id = r.project_id
WHERE (%(run_id)s::text IS NULL OR c.run_id = %(run_id)s)
  AND (%(project)s::text IS NULL OR p.name = %(project)s)
  AND (%(since)s::date IS NULL OR c.at >= %(since)s::date::timestamp AT TIME ZONE 'UTC')
  AND (%(until)s::date IS NULL OR c.at < (%(until)s::date + 1)::timestamp AT TIME ZONE 'UTC')
GROUP BY GROUPING SETS (({dimension}), ())
ORDER BY is_total, {order}
"""
