-- Who drives what: a run, or a thread of somebody's graph. A row is never removed, so that an attempt never
-- comes again. Time is the database's own: a machine whose clock is wrong holds nothing longer for it.
CREATE TABLE factory.holds (
    subject     text PRIMARY KEY,
    attempt     int NOT NULL DEFAULT 0,      -- rises each time that it is taken up; fences who had it before
    generation  int NOT NULL DEFAULT 0,      -- rises where who had it may still be alive: it keeps its worktrees
    holder      text NOT NULL DEFAULT '',    -- machine, boot, process and its start; empty: given back in order
    backend     int NOT NULL DEFAULT 0,      -- the server's process that has its lock
    beat_at     timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- What a person wants of a run: {"what": "cancel" | "pause", "by": …, "reason": …}. Whoever drives it obeys.
ALTER TABLE factory.runs ADD COLUMN wanted jsonb;
CREATE INDEX runs_wanted ON factory.runs (id) WHERE wanted IS NOT NULL;

-- The lock under which effects are made (shared) and attempts raised (exclusive).
CREATE FUNCTION factory.fence_lock(the_subject text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog AS $$
    SELECT hashtextextended('factory.fence ' || the_subject, 0)
$$;

-- Take up a subject: nobody who had it before can have an effect from here on. Transactions of theirs that are
-- under way end first. `alive`: who had it may still be there.
CREATE FUNCTION factory.take_hold(the_subject text, the_holder text, alive boolean)
RETURNS TABLE (attempt int, generation int) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    PERFORM pg_advisory_xact_lock(factory.fence_lock(the_subject));
    INSERT INTO factory.holds AS known (subject, attempt, holder, backend)
        VALUES (the_subject, 1, the_holder, pg_backend_pid())
        ON CONFLICT (subject) DO UPDATE SET
            attempt = known.attempt + 1,
            generation = known.generation + CASE WHEN alive AND known.holder <> '' THEN 1 ELSE 0 END,
            holder = the_holder,
            backend = pg_backend_pid(),
            beat_at = clock_timestamp();
    UPDATE factory.runs r SET attempt = h.attempt FROM factory.holds h
        WHERE h.subject = the_subject AND r.id = the_subject;
    RETURN QUERY SELECT h.attempt, h.generation FROM factory.holds h WHERE h.subject = the_subject;
END $$;

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE ON factory.holds TO factory_service;
    END IF;
END $$;
