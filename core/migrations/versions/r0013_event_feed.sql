-- One order over the events of all runs -------------------------------------------------------------------
-- A number that is drawn while an event is inserted is no position: who draws 7 may commit after 8 was read.
-- So events get their position after they are committed, by one at a time: whoever reads a position has read
-- all before it. A commit here waits for the disk, and so carries the events there that it numbers.

CREATE TABLE factory.event_feed (
    position  bigint PRIMARY KEY,   -- 1 for the first, without gaps
    run_id    text NOT NULL,
    seq       bigint NOT NULL,
    UNIQUE (run_id, seq)
);

-- Number what was committed of these runs (null: of all) and is not numbered; the last position there is.
-- Within a run the order is that of its chain, also where a clock was set back. Imported runs have none: what
-- they tell did not happen here.
CREATE FUNCTION factory.number_events(the_runs text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newest bigint;
    numbered bigint;
BEGIN
    -- Held to the end of the commit; what is read below is read after it was taken.
    PERFORM pg_advisory_xact_lock(hashtextextended('factory.event_feed', 0));
    SELECT coalesce(max(f.position), 0) INTO newest FROM factory.event_feed f;
    INSERT INTO factory.event_feed (position, run_id, seq)
    SELECT newest + row_number() OVER (ORDER BY e.moment, e.run_id, e.seq), e.run_id, e.seq
    FROM (
        SELECT e.run_id, e.seq, max(e.at) OVER (PARTITION BY e.run_id ORDER BY e.seq) AS moment
        FROM (
            SELECT h.run_id, h.seq, coalesce(
                (SELECT max(f.seq) FROM factory.event_feed f WHERE f.run_id = h.run_id), 0) AS known
            FROM factory.run_heads h
            WHERE h.imported_at IS NULL AND (the_runs IS NULL OR h.run_id = ANY (the_runs))
        ) b JOIN factory.events e ON e.run_id = b.run_id AND e.seq > b.known
        WHERE b.seq > b.known
    ) e;
    GET DIAGNOSTICS numbered = ROW_COUNT;
    RETURN newest + numbered;
END $$;
REVOKE ALL ON FUNCTION factory.number_events FROM PUBLIC;

SELECT factory.number_events(NULL);

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT ON factory.event_feed TO factory_service;
        GRANT EXECUTE ON FUNCTION factory.number_events TO factory_service;
    END IF;
END $$;
