-- Who works on which paths of a project right now. Advisory: nobody waits for a row of it.
CREATE TABLE factory.leases (
    run_id      text NOT NULL,
    stage       text NOT NULL,
    project     text NOT NULL,                -- its name
    team        text NOT NULL,
    paths       text[] NOT NULL,              -- globs that the team may write
    files       text[] NOT NULL DEFAULT '{}', -- what it has written so far
    taken_at    timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (run_id, stage)
);
CREATE INDEX leases_by_project ON factory.leases (project, expires_at);

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON factory.leases TO factory_service;
    END IF;
END $$;
