-- As before, but that a budget which was taken away and is set again has what people added to it, what calls
-- under way have set aside in it, and what was settled and is not in the ledger yet.
CREATE OR REPLACE FUNCTION factory.set_budget(the_scope text, the_subject text, cap numeric) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    the_id text := the_scope || ':' || the_subject;
BEGIN
    IF cap IS NULL THEN
        DELETE FROM factory.budgets WHERE id = the_id;
        RETURN;
    END IF;
    UPDATE factory.budgets SET base_usd = cap WHERE id = the_id AND base_usd <> cap;
    IF FOUND OR EXISTS (SELECT 1 FROM factory.budgets WHERE id = the_id) THEN
        RETURN;
    END IF;
    INSERT INTO factory.budgets (id, scope, subject, base_usd, extended_usd, extensions, spent_usd, reserved_usd)
    SELECT the_id, the_scope, the_subject, cap, added.usd, added.times, known.usd + open.spent, open.reserved
    FROM (
        SELECT coalesce(sum(c.cost_usd), 0) AS usd
        FROM factory.model_spending c
        LEFT JOIN factory.runs r ON r.id = c.run_id
        LEFT JOIN factory.projects p ON p.id = r.project_id
        WHERE the_subject = CASE the_scope
            WHEN 'run' THEN c.run_id
            WHEN 'stage' THEN c.run_id || '/' || c.team
            WHEN 'team' THEN p.name || '/' || c.team
            WHEN 'project' THEN p.name
            WHEN 'account' THEN CASE WHEN c.account = '' THEN c.provider ELSE c.account END
            WHEN 'day' THEN to_char(c.at AT TIME ZONE 'UTC', 'YYYY-MM-DD')
        END
    ) known CROSS JOIN (
        SELECT coalesce(sum(e.amount_usd), 0) AS usd, count(*)::int AS times
        FROM factory.budget_extensions e WHERE e.budget = the_id
    ) added CROSS JOIN (
        -- A lapsed one is in the ledger.
        SELECT coalesce(sum(b.reserved_usd), 0) AS reserved,
               coalesce(sum(b.spent_usd) FILTER (WHERE NOT b.lapsed), 0) AS spent
        FROM factory.budget_reservations b WHERE the_id = ANY (b.budgets)
    ) open
    ON CONFLICT (id) DO NOTHING;
END $$;

-- Several at once. The reservations that a budget is to be made from are locked before any budget is, and in
-- the order in which all lock them.
CREATE FUNCTION factory.set_budgets(scopes text[], subjects text[], caps numeric[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM factory.budget_reservations r
        WHERE r.budgets && ARRAY(
            SELECT a.scope || ':' || a.subject FROM unnest(scopes, subjects, caps) AS a(scope, subject, cap)
            WHERE a.cap IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM factory.budgets b WHERE b.id = a.scope || ':' || a.subject)
        )
        ORDER BY r.run_id, r.call_key, r.attempt FOR UPDATE;
    PERFORM factory.set_budget(a.scope, a.subject, a.cap)
        FROM unnest(scopes, subjects, caps) AS a(scope, subject, cap);
END $$;
