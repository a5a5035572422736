-- A budget is an amount of USD for one scope. Its sums are kept with it, so that one look at one row tells
-- whether a call still fits: what was spent, and what calls that are under way may cost at most.

CREATE TABLE factory.budgets (
    id            text PRIMARY KEY,                -- scope:subject
    scope         text NOT NULL CHECK (scope IN ('run', 'stage', 'team', 'project', 'account', 'day')),
    subject       text NOT NULL,
    base_usd      numeric NOT NULL CHECK (base_usd >= 0),
    extended_usd  numeric NOT NULL DEFAULT 0 CHECK (extended_usd >= 0),
    extensions    int NOT NULL DEFAULT 0,
    spent_usd     numeric NOT NULL DEFAULT 0,
    reserved_usd  numeric NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);  -- two updates a call: leave room for the new versions on the page

-- An extension by a person, applied once, whichever stage of the run is the first to hear of it.
CREATE TABLE factory.budget_extensions (
    approval_id  text PRIMARY KEY,
    budget       text NOT NULL,
    amount_usd   numeric NOT NULL CHECK (amount_usd > 0),
    at           timestamptz NOT NULL DEFAULT now()
);

-- One request to a model: what is set aside for it, or what it did cost, until its call is in the ledger.
CREATE TABLE factory.budget_reservations (
    run_id        text NOT NULL,
    call_key      text NOT NULL,
    attempt       int NOT NULL,                    -- 1 for the first request of a call
    budgets       text[] NOT NULL,                 -- those that it counts in
    reserved_usd  numeric NOT NULL,
    spent_usd     numeric NOT NULL DEFAULT 0,
    call          jsonb NOT NULL,                  -- who asks whom, for the ledger
    expires_at    timestamptz NOT NULL,
    lapsed        boolean NOT NULL DEFAULT false,  -- nobody settled it in time: it counts as spent, in the ledger too
    PRIMARY KEY (run_id, call_key, attempt)
) WITH (fillfactor = 50);
CREATE INDEX budget_reservations_due ON factory.budget_reservations (expires_at) WHERE NOT lapsed;

-- All functions lock reservations first, then budgets, each in this order, so that two never wait for each other.
CREATE FUNCTION factory.lock_budgets(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM factory.budgets b WHERE b.id = ANY (ids) ORDER BY b.id FOR UPDATE;
END $$;

-- Set what is agreed for a scope; null takes the budget away. A new one knows what the ledger says was spent.
CREATE FUNCTION factory.set_budget(the_scope text, the_subject text, cap numeric) RETURNS void
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
    FROM factory.model_calls c
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

-- Set aside what calls may cost at most: of all of them or, where one budget has no room, of none.
--   calls   [{n, run, key, attempt, ids, amount, seconds, call}]; ids name budgets that may exist
--   share   of a budget, from which on a person is asked before more is spent
--   the_day what a day may cost; null where nothing is set
-- Answers {counted: [n], refused: [budget and its sums]}, or {day} where the day's budget is to be set first.
-- The first attempt of a call takes the place of all that a process left of the same call when it died. A call
-- that the ledger has already is a repetition after a crash, and is not counted again.
CREATE FUNCTION factory.reserve_budgets(calls jsonb, share numeric, the_day numeric) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    today text := to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD');
    asked factory.budget_reservations[];
    numbers int[];
    dead factory.budget_reservations[];
    refused jsonb;
BEGIN
    IF the_day IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM factory.budgets WHERE id = 'day:' || today AND base_usd = the_day
    ) THEN
        RETURN jsonb_build_object('day', today);
    END IF;
    SELECT array_agg(ROW(c.run, c.key, c.attempt, found.budgets, c.amount, 0, c.call,
                         clock_timestamp() + make_interval(secs => c.seconds),
                         false)::factory.budget_reservations ORDER BY c.n),
           array_agg(c.n ORDER BY c.n)
        INTO asked, numbers
        FROM jsonb_to_recordset(calls) AS c(n int, run text, key text, attempt int, ids text[],
                                            amount numeric, seconds double precision, call jsonb)
        CROSS JOIN LATERAL (
            SELECT array_agg(b.id) AS budgets FROM factory.budgets b
            WHERE b.id = ANY (c.ids || ('day:' || today))
        ) found
        WHERE found.budgets IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM factory.model_calls m
            WHERE m.run_id = c.run AND m.key = c.key AND m.status = 'ok'
        );
    IF asked IS NULL THEN
        RETURN jsonb_build_object('counted', '[]'::jsonb);
    END IF;
    SELECT array_agg(d.r ORDER BY d.r) INTO dead FROM (
        SELECT r FROM factory.budget_reservations r JOIN unnest(asked) a USING (run_id, call_key)
        WHERE a.attempt = 1 ORDER BY r.run_id, r.call_key, r.attempt FOR UPDATE OF r
    ) d;
    PERFORM factory.lock_budgets(ARRAY(SELECT unnest(x.budgets) FROM unnest(asked || dead) x));
    WITH deltas AS (
        SELECT part.id, sum(part.more) AS more, sum(part.reserved) AS reserved, sum(part.spent) AS spent
        FROM (
            SELECT unnest(a.budgets) AS id, a.reserved_usd AS more, 0 AS reserved, 0 AS spent
            FROM unnest(asked) a
            UNION ALL
            SELECT unnest(d.budgets), 0, -d.reserved_usd, -d.spent_usd FROM unnest(dead) d
        ) part GROUP BY part.id
    ), sums AS (
        SELECT b.id, b.base_usd + b.extended_usd AS cap, b.spent_usd + d.spent AS spent,
               b.reserved_usd + d.reserved AS reserved, d.more, b.extensions
        FROM factory.budgets b JOIN deltas d USING (id)
    ), full_ones AS (
        SELECT * FROM sums s
        WHERE s.more > 0 AND (s.spent >= share * s.cap OR s.spent + s.reserved + s.more > s.cap)
    ), taken AS (
        UPDATE factory.budgets b SET reserved_usd = s.reserved + s.more, spent_usd = s.spent
        FROM sums s WHERE b.id = s.id AND NOT EXISTS (SELECT 1 FROM full_ones)
    )
    SELECT jsonb_agg(jsonb_build_object('id', f.id, 'cap', f.cap::text, 'spent', f.spent::text,
            'reserved', f.reserved::text, 'wanted', f.more::text, 'extensions', f.extensions))
        INTO refused FROM full_ones f;
    IF refused IS NOT NULL THEN
        RETURN jsonb_build_object('refused', refused);
    END IF;
    PERFORM factory.unlapse(dead);
    DELETE FROM factory.budget_reservations r USING unnest(dead) d
        WHERE (r.run_id, r.call_key, r.attempt) = (d.run_id, d.call_key, d.attempt);
    INSERT INTO factory.budget_reservations SELECT * FROM unnest(asked);
    RETURN jsonb_build_object('counted', to_jsonb(numbers));
END $$;

-- Take out of the ledger what was put in for reservations that nobody had settled in time.
CREATE FUNCTION factory.unlapse(those factory.budget_reservations[]) RETURNS void LANGUAGE sql AS $$
    UPDATE factory.model_calls m SET cost_usd = m.cost_usd - l.cost
    FROM (
        SELECT t.run_id, t.call_key, sum(t.spent_usd) AS cost FROM unnest(those) t
        WHERE t.lapsed GROUP BY t.run_id, t.call_key
    ) l
    WHERE m.run_id = l.run_id AND m.key = l.call_key AND m.status <> 'ok';
$$;

-- Put what requests did cost in the place of what was set aside: [{run, key, attempt, cost}], cost 0 to release.
CREATE FUNCTION factory.settle_budgets(requests jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    known factory.budget_reservations[];
BEGIN
    SELECT array_agg(d.r) INTO known FROM (
        SELECT r FROM factory.budget_reservations r
        JOIN jsonb_to_recordset(requests) AS q(run text, key text, attempt int)
            ON (r.run_id, r.call_key, r.attempt) = (q.run, q.key, q.attempt)
        ORDER BY r.run_id, r.call_key, r.attempt FOR UPDATE OF r
    ) d;
    PERFORM factory.lock_budgets(ARRAY(SELECT unnest(k.budgets) FROM unnest(known) k));
    UPDATE factory.budgets b
        SET reserved_usd = b.reserved_usd - s.reserved, spent_usd = b.spent_usd + s.spent
        FROM (
            SELECT part.id, sum(part.reserved) AS reserved, sum(part.spent) AS spent FROM (
                SELECT unnest(k.budgets) AS id, k.reserved_usd AS reserved, q.cost - k.spent_usd AS spent
                FROM unnest(known) k
                JOIN jsonb_to_recordset(requests) AS q(run text, key text, attempt int, cost numeric)
                    ON (k.run_id, k.call_key, k.attempt) = (q.run, q.key, q.attempt)
            ) part GROUP BY part.id
        ) s WHERE b.id = s.id;
    PERFORM factory.unlapse(known);
    UPDATE factory.budget_reservations r SET reserved_usd = 0, spent_usd = q.cost, lapsed = false
        FROM jsonb_to_recordset(requests) AS q(run text, key text, attempt int, cost numeric)
        WHERE (r.run_id, r.call_key, r.attempt) = (q.run, q.key, q.attempt);
END $$;

-- Count as spent what was set aside by processes that are gone: all that is overdue, and all of one run whose
-- driver knows that nobody else drives it. The ledger gets a row `lost` for each such call.
CREATE FUNCTION factory.lapse_budgets(the_run text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    gone factory.budget_reservations[];
BEGIN
    SELECT array_agg(d.r) INTO gone FROM (
        SELECT r FROM factory.budget_reservations r
        WHERE NOT r.lapsed AND (r.expires_at <= clock_timestamp() OR r.run_id = the_run)
        ORDER BY r.run_id, r.call_key, r.attempt FOR UPDATE SKIP LOCKED
    ) d;
    IF gone IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM factory.lock_budgets(ARRAY(SELECT unnest(g.budgets) FROM unnest(gone) g));
    UPDATE factory.budgets b
        SET reserved_usd = b.reserved_usd - s.amount, spent_usd = b.spent_usd + s.amount
        FROM (
            SELECT part.id, sum(part.amount) AS amount
            FROM (SELECT unnest(g.budgets) AS id, g.reserved_usd AS amount FROM unnest(gone) g) part
            GROUP BY part.id
        ) s WHERE b.id = s.id;
    UPDATE factory.budget_reservations r
        SET spent_usd = r.spent_usd + r.reserved_usd, reserved_usd = 0, lapsed = true
        FROM unnest(gone) g
        WHERE (r.run_id, r.call_key, r.attempt) = (g.run_id, g.call_key, g.attempt);
    INSERT INTO factory.model_calls AS known (id, run_id, team, operative, call, alias, provider, account,
            model, cost_usd, status, error, at, key)
        SELECT 'call-lost-' || md5(g.run_id || ' ' || g.call_key), g.run_id, max(g.call ->> 'team'),
            max(g.call ->> 'operative'), max(g.call ->> 'kind'), '', max(g.call ->> 'provider'),
            max(g.call ->> 'account'), max(g.call ->> 'model'), sum(g.spent_usd + g.reserved_usd), 'lost',
            'nobody was left to say what it did cost: counted with what was set aside for it',
            clock_timestamp(), g.call_key
        FROM unnest(gone) g GROUP BY g.run_id, g.call_key HAVING sum(g.spent_usd + g.reserved_usd) > 0
        ON CONFLICT (run_id, key) DO UPDATE SET cost_usd = known.cost_usd + excluded.cost_usd
        WHERE known.status <> 'ok';
    RETURN cardinality(gone);
END $$;

-- Add to a budget what a person allowed; false where that decision was applied before.
CREATE FUNCTION factory.extend_budget(approval text, the_id text, amount numeric) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO factory.budget_extensions (approval_id, budget, amount_usd) VALUES (approval, the_id, amount)
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE factory.budgets SET extended_usd = extended_usd + amount, extensions = extensions + 1
        WHERE id = the_id;
    RETURN true;
END $$;

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON factory.budgets, factory.budget_extensions,
            factory.budget_reservations TO factory_service;
    END IF;
END $$;
