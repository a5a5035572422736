-- A quota is a limit of one model account: so many requests, or tokens, in any window. Processes borrow shares of
-- it; the shares, and what may still be in the window of a share that nobody renews, never exceed it.

CREATE TABLE factory.quota_leases (
    quota       text NOT NULL,
    holder      text NOT NULL,              -- one process
    amount      bigint NOT NULL,
    wanting     bigint NOT NULL DEFAULT 0,  -- what it asked for and did not get
    expires_at  timestamptz NOT NULL,       -- until when the holder may use it
    gone_at     timestamptz NOT NULL,       -- from when on nothing of it can be in a server's window any more
    PRIMARY KEY (quota, holder)
);

-- Renew a holder's share of a quota and add to it what is there, up to `want`. The holder says how much it still
-- holds: less than before is given back. A share below `least_amount` is of no use to it. `late` is how long a request may take from the holder to the server.
-- Only time of the database counts; what the holder is told is a duration.
CREATE FUNCTION factory.lease_quota(
    the_quota text, the_holder text, supply bigint, held bigint, want bigint, least_amount bigint,
    seconds double precision, win double precision, late double precision
) RETURNS TABLE (amount bigint, ceiling bigint, ask_again double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    at timestamptz;
    mine factory.quota_leases;
    others bigint;
    holders bigint;
    starving boolean;
    fair bigint;
    granted bigint;
    soonest timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('factory.quota ' || the_quota, 0));
    at := clock_timestamp();
    DELETE FROM factory.quota_leases l WHERE l.quota = the_quota AND l.gone_at <= at;
    SELECT * INTO mine FROM factory.quota_leases l WHERE l.quota = the_quota AND l.holder = the_holder;
    IF FOUND AND mine.expires_at <= at THEN
        -- It came too late: what it used counts until it is gone, and it starts with nothing.
        UPDATE factory.quota_leases l SET holder = the_holder || ' until ' || extract(epoch FROM at)
            WHERE l.quota = the_quota AND l.holder = the_holder;
        held := 0;
    ELSIF NOT FOUND THEN
        held := 0;
    END IF;
    held := least(held, coalesce(mine.amount, 0));
    SELECT coalesce(sum(l.amount), 0), count(*) FILTER (WHERE l.expires_at > at),
           coalesce(bool_or(l.wanting > 0) FILTER (WHERE l.expires_at > at), false), min(l.gone_at)
        INTO others, holders, starving, soonest
        FROM factory.quota_leases l WHERE l.quota = the_quota AND l.holder <> the_holder;
    fair := greatest(1, supply / (holders + 1));
    granted := greatest(0, least(want, supply - others - held));
    IF starving THEN
        granted := greatest(0, least(granted, greatest(fair, least_amount) - held));
    END IF;
    INSERT INTO factory.quota_leases AS l VALUES (the_quota, the_holder, held + granted, want - granted,
            at + make_interval(secs => seconds), at + make_interval(secs => seconds + win + late))
        ON CONFLICT (quota, holder) DO UPDATE SET amount = excluded.amount, wanting = excluded.wanting,
            expires_at = excluded.expires_at, gone_at = excluded.gone_at;
    RETURN QUERY SELECT held + granted, CASE WHEN starving THEN fair ELSE supply END,
        extract(epoch FROM soonest - at)::double precision;
END $$;
REVOKE ALL ON FUNCTION factory.lease_quota FROM PUBLIC;

-- Give a share back: nothing more of it is used. What is in a server's window counts until `busy_seconds` from now.
CREATE FUNCTION factory.return_quota(
    the_quota text, the_holder text, busy bigint, busy_seconds double precision
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('factory.quota ' || the_quota, 0));
    UPDATE factory.quota_leases l
        SET amount = least(l.amount, busy), wanting = 0, expires_at = clock_timestamp(),
            gone_at = clock_timestamp() + make_interval(secs => busy_seconds),
            holder = the_holder || ' until ' || extract(epoch FROM clock_timestamp())
        WHERE l.quota = the_quota AND l.holder = the_holder AND l.expires_at > clock_timestamp();
    DELETE FROM factory.quota_leases l WHERE l.quota = the_quota AND (l.amount = 0 OR l.gone_at <= clock_timestamp());
END $$;
REVOKE ALL ON FUNCTION factory.return_quota FROM PUBLIC;

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT ON factory.quota_leases TO factory_service;
        GRANT EXECUTE ON FUNCTION factory.lease_quota, factory.return_quota TO factory_service;
    END IF;
END $$;
