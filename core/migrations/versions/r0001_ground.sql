CREATE TABLE factory.projects (
    id          text PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    repository  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE factory.runs (
    id             text PRIMARY KEY,
    project_id     text NOT NULL REFERENCES factory.projects (id),
    requirement    text NOT NULL,
    pipeline       text NOT NULL,
    model          text,
    status         text NOT NULL,
    revision       int NOT NULL DEFAULT 0,   -- rises with each transition; the guard of concurrent ones
    options        jsonb NOT NULL DEFAULT '{}',
    branch         text,
    base_commit    text,
    result_commit  text,
    tag            text,
    failure        text,
    attempt        int NOT NULL DEFAULT 0,   -- rises with each take-over; fences the worker before
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    started_at     timestamptz,
    ended_at       timestamptz
);
CREATE INDEX runs_by_project ON factory.runs (project_id, created_at DESC);
CREATE INDEX runs_by_status ON factory.runs (status);

CREATE TABLE factory.approvals (
    id              text PRIMARY KEY,
    run_id          text NOT NULL,
    kind            text NOT NULL,
    team            text,
    key             text NOT NULL,
    risk            text NOT NULL,
    title           text NOT NULL,
    question        text NOT NULL,
    detail          jsonb NOT NULL DEFAULT '{}',
    allowed         text[] NOT NULL,
    default_answer  text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz,
    decision        text,
    answer          text,
    decided_by      text,
    decided_at      timestamptz,
    UNIQUE (run_id, key)
);
CREATE INDEX approvals_pending ON factory.approvals (created_at) WHERE decision IS NULL;

CREATE TABLE factory.clarifications (
    id            text PRIMARY KEY,
    run_id        text NOT NULL,
    objective_id  text NOT NULL,
    asker         text NOT NULL,
    target        text NOT NULL,
    question      text NOT NULL,
    answer        text,
    status        text NOT NULL,
    reason        text,
    depth         int NOT NULL DEFAULT 0,
    chain         text[] NOT NULL DEFAULT '{}',
    key           text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    answered_at   timestamptz,
    UNIQUE (run_id, key)
);

CREATE TABLE factory.model_calls (
    id             text PRIMARY KEY,
    run_id         text NOT NULL,
    team           text NOT NULL,
    operative      text NOT NULL,
    call           text NOT NULL,
    alias          text NOT NULL,
    provider       text NOT NULL,
    model          text NOT NULL,
    input_tokens   int NOT NULL DEFAULT 0,
    output_tokens  int NOT NULL DEFAULT 0,
    cost_usd       numeric NOT NULL DEFAULT 0,
    seconds        double precision NOT NULL DEFAULT 0,
    status         text NOT NULL,
    error          text,
    at             timestamptz NOT NULL DEFAULT now(),
    key            text NOT NULL,
    UNIQUE (run_id, key)
);

-- The event log ----------------------------------------------------------------------------------------
-- `record` is the canonical JSON of {at, key, kind, payload, run_id, team}; what is hashed is that stored
-- text, never a jsonb, whose text is Postgres's own. The columns beside it are for indexes and readers.

CREATE TABLE factory.events (
    run_id     text NOT NULL,
    seq        bigint NOT NULL,
    at         timestamptz NOT NULL,
    kind       text NOT NULL,
    team       text,
    key        text,
    record     text NOT NULL,
    prev_hash  text NOT NULL,
    hash       text NOT NULL,
    PRIMARY KEY (run_id, seq)
);
CREATE UNIQUE INDEX events_once ON factory.events (run_id, key) WHERE key IS NOT NULL;

CREATE TABLE factory.run_heads (
    run_id  text PRIMARY KEY,
    seq     bigint NOT NULL,
    hash    text NOT NULL
) WITH (fillfactor = 50);  -- updated with each event: leave room for the new version on the page

CREATE FUNCTION factory.refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: the event log only grows', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION factory.refuse_step() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NEW.run_id <> OLD.run_id OR NEW.seq <> OLD.seq + 1 THEN
        RAISE EXCEPTION 'the head of run % moves one event at a time', OLD.run_id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON factory.events
    FOR EACH STATEMENT EXECUTE FUNCTION factory.refuse();
ALTER TABLE factory.events ENABLE ALWAYS TRIGGER only_grows;
CREATE TRIGGER only_grows BEFORE DELETE OR TRUNCATE ON factory.run_heads
    FOR EACH STATEMENT EXECUTE FUNCTION factory.refuse();
ALTER TABLE factory.run_heads ENABLE ALWAYS TRIGGER only_grows;
CREATE TRIGGER one_step BEFORE UPDATE ON factory.run_heads
    FOR EACH ROW EXECUTE FUNCTION factory.refuse_step();
ALTER TABLE factory.run_heads ENABLE ALWAYS TRIGGER one_step;

-- Append one event: the only way in for the service's role. The row lock on the head orders the events of a
-- run; a key that is already there returns its event and writes nothing.
CREATE FUNCTION factory.append_event(
    the_run text, the_at timestamptz, the_kind text, the_team text, the_key text, the_record text
) RETURNS SETOF factory.events
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head factory.run_heads;
    event factory.events;
BEGIN
    LOOP
        SELECT * INTO head FROM factory.run_heads WHERE run_id = the_run FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO factory.run_heads VALUES (the_run, 0, repeat('0', 64)) ON CONFLICT DO NOTHING;
    END LOOP;
    IF the_key IS NOT NULL THEN
        SELECT * INTO event FROM factory.events e WHERE e.run_id = the_run AND e.key = the_key;
        IF FOUND THEN
            RETURN NEXT event;
            RETURN;
        END IF;
    END IF;
    event.run_id := the_run;
    event.seq := head.seq + 1;
    event.at := the_at;
    event.kind := the_kind;
    event.team := the_team;
    event.key := the_key;
    event.record := the_record;
    event.prev_hash := head.hash;
    event.hash := encode(sha256(convert_to(
        head.hash || E'\n' || event.seq || E'\n' || the_record, 'UTF8')), 'hex');
    INSERT INTO factory.events VALUES (event.*);
    UPDATE factory.run_heads SET seq = event.seq, hash = event.hash WHERE run_id = the_run;
    PERFORM pg_notify('factory_events', the_run || ':' || event.seq);
    RETURN NEXT event;
END $$;
REVOKE ALL ON FUNCTION factory.append_event FROM PUBLIC;

-- The service's role ------------------------------------------------------------------------------------
-- Made here where the migrating role may make roles; otherwise the factory runs as the role it was given,
-- and `factory audit verify` says that the log is not protected from it.

DO $$
BEGIN
    IF to_regrole('factory_service') IS NULL THEN
        CREATE ROLE factory_service NOLOGIN;
    END IF;
    IF NOT pg_has_role(current_user, 'factory_service', 'MEMBER') THEN
        EXECUTE format('GRANT factory_service TO %I', current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
    NULL;
END $$;

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA factory TO factory_service;
        GRANT SELECT ON ALL TABLES IN SCHEMA factory TO factory_service;
        GRANT INSERT, UPDATE, DELETE ON factory.projects, factory.runs, factory.approvals,
            factory.clarifications, factory.model_calls TO factory_service;
        GRANT EXECUTE ON FUNCTION factory.append_event TO factory_service;
    END IF;
END $$;
