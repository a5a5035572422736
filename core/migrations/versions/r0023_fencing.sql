-- Fencing: a session that drives something says so in `factory.fence` ('ATTEMPT SUBJECT'). Whatever it writes is
-- refused from the moment on that somebody else has taken the subject up. The check holds the subject's lock
-- (shared) until its transaction ends; to take up waits for all of them (factory.take_hold).

CREATE FUNCTION factory.check_fence() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    fence text := current_setting('factory.fence');
    the_subject text := substr(fence, strpos(fence, ' ') + 1);
BEGIN
    PERFORM pg_advisory_xact_lock_shared(factory.fence_lock(the_subject));
    IF NOT EXISTS (
        SELECT FROM factory.holds h WHERE h.subject = the_subject AND h.attempt = split_part(fence, ' ', 1)::int
    ) THEN
        RAISE EXCEPTION '% was taken up by somebody else', the_subject USING ERRCODE = 'FF409';
    END IF;
END $$;

CREATE FUNCTION factory.fence() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM factory.check_fence();
    RETURN NULL;
END $$;

-- A table whose writes are effects. LangGraph's own are fenced where they are made (core/migrations).
CREATE FUNCTION factory.fence_table(the_table regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    EXECUTE format($sql$
        CREATE OR REPLACE TRIGGER fenced BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH STATEMENT
        WHEN (coalesce(current_setting('factory.fence', true), '') <> '') EXECUTE FUNCTION factory.fence()
    $sql$, the_table);
END $$;
REVOKE ALL ON FUNCTION factory.fence_table FROM PUBLIC;

-- Every addition to memory writes its key into `additions`, in its own transaction.
SELECT factory.fence_table(fenced) FROM unnest(ARRAY[
    'factory.events', 'factory.runs', 'factory.approvals', 'factory.clarifications', 'factory.model_calls',
    'factory.budgets', 'factory.budget_reservations', 'factory.budget_extensions', 'factory.leases',
    'factory.additions', 'factory.banks', 'factory.mental_models']::regclass[]) AS fenced;

-- As before, but that the run's own row is left for a statement of its own: whoever has it locked may be
-- waiting for the fence.
CREATE OR REPLACE FUNCTION factory.take_hold(the_subject text, the_holder text, alive boolean)
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
    RETURN QUERY SELECT h.attempt, h.generation FROM factory.holds h WHERE h.subject = the_subject;
END $$;
