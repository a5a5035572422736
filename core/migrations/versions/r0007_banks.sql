-- What teams remember. A bank is a partition of its own, so that what it costs does not depend on the others.

DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
    RAISE EXCEPTION 'this database has no pgvector; have an administrator run: CREATE EXTENSION vector (%)', SQLERRM;
END $$;

DO $$
BEGIN
    IF to_regtype('public.halfvec') IS NULL THEN
        RAISE EXCEPTION 'pgvector must be 0.7 or newer, and its types in the schema public';
    END IF;
END $$;

CREATE TABLE factory.banks (
    id          int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project     text NOT NULL,
    name        text NOT NULL,                -- a team's id, or that of what all teams share
    live        int NOT NULL DEFAULT 0,       -- memories that are neither superseded nor forgotten
    words       bigint NOT NULL DEFAULT 0,    -- theirs, together
    last        int NOT NULL DEFAULT 0,       -- the number that was given out last
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (project, name)
) WITH (fillfactor = 50);

-- The service reaches a partition by its own name: a statement that names the parent would have to lock and
-- plan a thousand of them.
CREATE TABLE factory.memories (
    bank           int NOT NULL,
    number         int NOT NULL,              -- from 1 in each bank
    text           text NOT NULL,             -- empty once forgotten
    kind           text NOT NULL CHECK (kind IN ('fact', 'experience', 'decision', 'directive')),
    speaker        text NOT NULL,
    session        text NOT NULL,
    position       int NOT NULL,              -- in its session, from 0
    at             timestamptz NOT NULL,      -- when it was said
    valid_from     timestamptz NOT NULL,
    valid_to       timestamptz,
    subject        text,                      -- a later memory with the same one supersedes it
    superseded_by  int,
    forgotten_at   timestamptz,
    derived_from   bigint[] NOT NULL DEFAULT '{}',
    source         jsonb NOT NULL,
    digest         bytea NOT NULL,            -- sha256 of the normalised text
    gist           bytea NOT NULL,            -- the same of its content words alone
    terms          int[] NOT NULL,            -- hashes of its words, rising
    impacts        smallint[] NOT NULL,       -- how much each counts, see postings
    words          int NOT NULL,              -- all of them together
    live           boolean NOT NULL DEFAULT true,
    PRIMARY KEY (bank, number)
) PARTITION BY LIST (bank);
CREATE UNIQUE INDEX memories_once ON factory.memories (bank, digest) WHERE live;
CREATE INDEX memories_gist ON factory.memories (bank, gist) WHERE live;
CREATE INDEX memories_subject ON factory.memories (bank, subject) WHERE live AND subject IS NOT NULL;
CREATE INDEX memories_session ON factory.memories (bank, session, position);
CREATE INDEX memories_past ON factory.memories (bank, valid_to) WHERE NOT live;

-- Nothing is overwritten: a text stays as it is until it is forgotten, and what was forgotten stays so.
CREATE FUNCTION factory.refuse_rewriting() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NEW.text <> OLD.text AND (NEW.text <> '' OR NEW.forgotten_at IS NULL)
        OR OLD.forgotten_at IS NOT NULL AND NEW.forgotten_at IS DISTINCT FROM OLD.forgotten_at THEN
        RAISE EXCEPTION 'a memory is superseded or forgotten, never rewritten'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER never_rewritten BEFORE UPDATE ON factory.memories
    FOR EACH ROW EXECUTE FUNCTION factory.refuse_rewriting();

-- The vectors of one bank by one embedder. Another embedder has another space, so that they cannot mix.
CREATE TABLE factory.spaces (
    id          int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bank        int NOT NULL REFERENCES factory.banks (id) ON DELETE CASCADE,
    embedder    text NOT NULL,
    dimension   int NOT NULL CHECK (dimension BETWEEN 1 AND 4000),
    whole       boolean NOT NULL DEFAULT false,   -- every live memory has its vector
    indexed     boolean NOT NULL DEFAULT false,   -- has an HNSW index; without it, search is exact
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (bank, embedder, dimension)
);
CREATE TABLE factory.vectors (
    space      int NOT NULL,
    number     int NOT NULL,
    live       boolean NOT NULL DEFAULT true,
    embedding  public.halfvec NOT NULL,
    PRIMARY KEY (space, number)
) PARTITION BY LIST (space);

-- Which live memories hold a word. `impact` is how much the word counts in that memory, in thousandths, by
-- BM25 for a memory of usual length: the memories that a frequent word says most about come first.
CREATE TABLE factory.postings (
    bank    int NOT NULL,
    term    int NOT NULL,
    impact  smallint NOT NULL,
    number  int NOT NULL,
    PRIMARY KEY (bank, term, impact, number)
);
CREATE TABLE factory.terms (
    bank      int NOT NULL,
    term      int NOT NULL,
    memories  int NOT NULL,                   -- live ones that hold it
    PRIMARY KEY (bank, term)
) WITH (fillfactor = 70);

-- What an addition did: the same one made again, after a crash, answers the same and adds nothing.
CREATE TABLE factory.additions (
    bank     int NOT NULL REFERENCES factory.banks (id) ON DELETE CASCADE,
    key      text NOT NULL,
    outcome  jsonb NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (bank, key)
);

-- The service owns no table, so these make and remove partitions for it. They attach what was made beside, as
-- CREATE … PARTITION OF would wait for every reader of the parent, a backup among them.

CREATE FUNCTION factory.grant_service(relation text, rights text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        EXECUTE format('GRANT %s ON factory.%I TO factory_service', rights, relation);
    END IF;
END $$;

CREATE FUNCTION factory.make_bank(the_project text, the_name text) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    the_id int;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('factory.make_bank', 0));
    SELECT id INTO the_id FROM factory.banks WHERE project = the_project AND name = the_name;
    IF FOUND THEN
        RETURN the_id;
    END IF;
    INSERT INTO factory.banks (project, name) VALUES (the_project, the_name) RETURNING id INTO the_id;
    part := 'memories_' || the_id;
    EXECUTE format('CREATE TABLE factory.%I (LIKE factory.memories INCLUDING ALL)', part);
    EXECUTE format('ALTER TABLE factory.memories ATTACH PARTITION factory.%I FOR VALUES IN (%s)', part, the_id);
    PERFORM factory.grant_service(part, 'SELECT, INSERT, UPDATE');
    RETURN the_id;
END $$;

CREATE FUNCTION factory.make_space(the_bank int, the_embedder text, the_dimension int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    the_id int;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('factory.make_space', 0));
    SELECT id INTO the_id FROM factory.spaces
        WHERE bank = the_bank AND embedder = the_embedder AND dimension = the_dimension;
    IF FOUND THEN
        RETURN the_id;
    END IF;
    INSERT INTO factory.spaces (bank, embedder, dimension, whole)
        SELECT b.id, the_embedder, the_dimension, b.live = 0 FROM factory.banks b WHERE b.id = the_bank
        RETURNING id INTO STRICT the_id;
    part := 'vectors_' || the_id;
    -- A vector stays in its row: a search by the graph reads hundreds of them.
    EXECUTE format('CREATE TABLE factory.%I (LIKE factory.vectors INCLUDING ALL,
        CHECK (public.vector_dims(embedding) = %s)) WITH (toast_tuple_target = 8160)', part, the_dimension);
    EXECUTE format('ALTER TABLE factory.vectors ATTACH PARTITION factory.%I FOR VALUES IN (%s)', part, the_id);
    PERFORM factory.grant_service(part, 'SELECT, INSERT, UPDATE, DELETE');
    RETURN the_id;
END $$;

-- Search in the space by its graph from now on. Writers of this bank wait while it is built, readers do not.
CREATE FUNCTION factory.index_space(the_space int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET maintenance_work_mem = '256MB' AS $$
DECLARE
    dims int;
BEGIN
    SELECT dimension INTO dims FROM factory.spaces WHERE id = the_space AND NOT indexed FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE INDEX %I ON factory.%I USING hnsw
        ((embedding::public.halfvec(%s)) public.halfvec_ip_ops) WHERE live',
        'vectors_' || the_space || '_graph', 'vectors_' || the_space, dims);
    UPDATE factory.spaces SET indexed = true WHERE id = the_space;
END $$;

CREATE FUNCTION factory.drop_space(the_space int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('factory.make_space', 0));
    DELETE FROM factory.spaces WHERE id = the_space;
    IF FOUND THEN
        EXECUTE format('DROP TABLE factory.%I', 'vectors_' || the_space);
    END IF;
END $$;

REVOKE ALL ON FUNCTION factory.make_bank, factory.make_space, factory.index_space, factory.drop_space,
    factory.grant_service FROM PUBLIC;

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT ON factory.banks, factory.spaces, factory.memories, factory.vectors TO factory_service;
        GRANT UPDATE (live, words, last) ON factory.banks TO factory_service;
        GRANT UPDATE (whole) ON factory.spaces TO factory_service;
        GRANT SELECT, INSERT, UPDATE, DELETE ON factory.postings, factory.terms TO factory_service;
        GRANT SELECT, INSERT ON factory.additions TO factory_service;
        GRANT EXECUTE ON FUNCTION factory.make_bank, factory.make_space, factory.index_space,
            factory.drop_space TO factory_service;
    END IF;
END $$;
