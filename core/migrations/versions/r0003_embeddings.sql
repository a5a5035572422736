CREATE TABLE factory.embeddings (
    embedder text NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    vector bytea NOT NULL, -- 32-bit floats, as the machine has them
    PRIMARY KEY (embedder, hash)
);

COMMENT ON TABLE factory.embeddings IS 'A cache: it may be emptied at any time, and only costs the models'' time.';

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON factory.embeddings TO factory_service;
    END IF;
END $$;
