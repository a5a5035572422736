-- A call may be tried on several accounts, and each may charge for its try. The call's row has the sum, under the
-- account that was asked last; what of it belongs to others stands here. What is left of the row is its own account's.

CREATE TABLE factory.model_charges (
    id             text PRIMARY KEY,
    run_id         text NOT NULL,
    key            text NOT NULL,               -- of the call, as in model_calls
    account        text NOT NULL,
    provider       text NOT NULL,
    model          text NOT NULL,
    input_tokens   int NOT NULL DEFAULT 0,
    output_tokens  int NOT NULL DEFAULT 0,
    cost_usd       numeric NOT NULL DEFAULT 0
);
CREATE INDEX model_charges_of_a_call ON factory.model_charges (run_id, key);

-- What was spent, each part under whom it was paid to. A call counts once, where it was asked last.
CREATE VIEW factory.model_spending AS
    SELECT c.run_id, c.key, c.team, c.alias, c.provider, c.account, c.model, c.at, c.status, 1 AS calls,
           c.input_tokens - coalesce(x.input_tokens, 0) AS input_tokens,
           c.output_tokens - coalesce(x.output_tokens, 0) AS output_tokens,
           c.cost_usd - coalesce(x.cost_usd, 0) AS cost_usd, c.seconds
    FROM factory.model_calls c LEFT JOIN (
        SELECT run_id, key, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
               sum(cost_usd) AS cost_usd
        FROM factory.model_charges GROUP BY run_id, key
    ) x USING (run_id, key)
    UNION ALL
    SELECT m.run_id, m.key, c.team, c.alias, m.provider, m.account, m.model, c.at, c.status, 0,
           m.input_tokens, m.output_tokens, m.cost_usd, 0
    FROM factory.model_charges m JOIN factory.model_calls c USING (run_id, key);

-- As before, but that an account's new budget knows what was charged by this account.
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
    INSERT INTO factory.budgets (id, scope, subject, base_usd, spent_usd)
    SELECT the_id, the_scope, the_subject, cap, coalesce(sum(c.cost_usd), 0)
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
    ON CONFLICT (id) DO NOTHING;
END $$;

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT, INSERT ON factory.model_charges TO factory_service;
        GRANT SELECT ON factory.model_spending TO factory_service;
    END IF;
END $$;
