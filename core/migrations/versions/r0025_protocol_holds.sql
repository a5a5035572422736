-- The runs of the Agent Protocol share the holds of everything else: who executes one holds its thread, and writes
-- its checkpoints under that. They say so in the statement itself, not by `factory.fence`.
CREATE FUNCTION factory.check_fence(the_subject text, the_attempt int) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(factory.fence_lock(the_subject));
    IF NOT EXISTS (SELECT FROM factory.holds h WHERE h.subject = the_subject AND h.attempt = the_attempt) THEN
        RAISE EXCEPTION '% was taken up by somebody else', the_subject USING ERRCODE = 'FF409';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION factory.check_fence() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    fence text := current_setting('factory.fence');
BEGIN
    PERFORM factory.check_fence(substr(fence, strpos(fence, ' ') + 1), split_part(fence, ' ', 1)::int);
END $$;
