-- As before, but that a few runs are found by their key, however many there are: one statement for "these or
-- all" is planned for all.
CREATE OR REPLACE FUNCTION factory.number_events(the_runs text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newest bigint;
    numbered bigint;
    behind text[] := the_runs;
BEGIN
    -- Found before the lock is taken: with many runs it takes a moment.
    IF behind IS NULL THEN
        SELECT coalesce(array_agg(h.run_id), '{}') INTO behind FROM factory.run_heads h
        WHERE h.imported_at IS NULL AND h.seq > coalesce(
            (SELECT max(f.seq) FROM factory.event_feed f WHERE f.run_id = h.run_id), 0);
    END IF;
    -- Held to the end of the commit; what is read below is read after it was taken.
    PERFORM pg_advisory_xact_lock(hashtextextended('factory.event_feed', 0));
    SELECT coalesce(max(f.position), 0) INTO newest FROM factory.event_feed f;
    INSERT INTO factory.event_feed (position, run_id, seq)
    SELECT newest + row_number() OVER (ORDER BY e.moment, e.run_id, e.seq), e.run_id, e.seq
    FROM (
        SELECT e.run_id, e.seq, max(e.at) OVER (PARTITION BY e.run_id ORDER BY e.seq) AS moment
        FROM unnest(behind) AS b (run_id)
        JOIN factory.run_heads h ON h.run_id = b.run_id AND h.imported_at IS NULL
        CROSS JOIN LATERAL (
            SELECT coalesce(max(f.seq), 0) AS seq FROM factory.event_feed f WHERE f.run_id = b.run_id
        ) known
        JOIN factory.events e ON e.run_id = b.run_id AND e.seq > known.seq
    ) e;
    GET DIAGNOSTICS numbered = ROW_COUNT;
    RETURN newest + numbered;
END $$;
