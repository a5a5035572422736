-- A memory that was taken back ended without a successor. What it had superseded holds again; what had superseded
-- it stays, and must not bring it back when that is taken back in its turn: hence this table.

CREATE TABLE factory.taken_back (
    bank    int NOT NULL REFERENCES factory.banks (id) ON DELETE CASCADE,
    number  int NOT NULL,
    at      timestamptz NOT NULL,
    why     text NOT NULL,
    PRIMARY KEY (bank, number)
);

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT, INSERT ON factory.taken_back TO factory_service;
    END IF;
END $$;
