-- The Agent Protocol, as LangGraph's clients speak it (api/protocol). What a graph remembers lies in LangGraph's
-- checkpoints; here is what clients see beside it.

-- A graph with a configuration. Those made by the server have an id computed from the graph's.
CREATE TABLE factory.protocol_assistants (
    assistant_id uuid PRIMARY KEY,
    graph_id     text NOT NULL,
    version      integer NOT NULL,             -- the one in force
    latest       integer NOT NULL,             -- the number given out last
    name         text NOT NULL,
    description  text,
    config       jsonb NOT NULL,
    context      jsonb NOT NULL,
    metadata     jsonb NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
CREATE INDEX protocol_assistants_by_graph ON factory.protocol_assistants (graph_id);

CREATE TABLE factory.protocol_versions (
    assistant_id uuid NOT NULL REFERENCES factory.protocol_assistants ON DELETE CASCADE,
    version      integer NOT NULL,
    graph_id     text NOT NULL,
    name         text NOT NULL,
    description  text,
    config       jsonb NOT NULL,
    context      jsonb NOT NULL,
    metadata     jsonb NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (assistant_id, version)
);

CREATE TABLE factory.protocol_threads (
    thread_id        uuid PRIMARY KEY,
    status           text NOT NULL CHECK (status IN ('idle', 'busy', 'interrupted', 'error')),
    metadata         jsonb NOT NULL,
    config           jsonb NOT NULL,
    values           jsonb,                    -- as the last run left them
    interrupts       jsonb NOT NULL,           -- task id -> what it waits for
    error            jsonb,
    of_run           text UNIQUE REFERENCES factory.runs (id),  -- the factory's run that it shows, if it does
    hidden           boolean NOT NULL DEFAULT false,  -- of a stateless run; in no list
    ttl              jsonb,
    expires_at       timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    state_updated_at timestamptz NOT NULL
);
CREATE INDEX protocol_threads_by_time ON factory.protocol_threads (updated_at);
CREATE INDEX protocol_threads_by_metadata ON factory.protocol_threads USING gin (metadata jsonb_path_ops);
CREATE INDEX protocol_threads_expiring ON factory.protocol_threads (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE factory.protocol_runs (
    run_id             uuid PRIMARY KEY,
    thread_id          uuid NOT NULL REFERENCES factory.protocol_threads ON DELETE CASCADE,
    assistant_id       uuid NOT NULL,
    graph_id           text NOT NULL,
    status             text NOT NULL
        CHECK (status IN ('pending', 'running', 'success', 'error', 'timeout', 'interrupted')),
    multitask_strategy text NOT NULL,
    metadata           jsonb NOT NULL,
    kwargs             jsonb NOT NULL,
    temporary          boolean NOT NULL,       -- its thread goes with it
    by                 text NOT NULL,          -- who asked for it
    wanted             text CHECK (wanted IN ('interrupt', 'rollback')),  -- what a cancel asked for
    attempt            integer NOT NULL DEFAULT 0,
    executor           text,                   -- the process that executes it
    leased_until       timestamptz,            -- until when it is that process's
    source_seq         bigint NOT NULL DEFAULT 0,  -- how far the factory's own log was told in its stream
    starts_at          timestamptz NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    number             bigint GENERATED ALWAYS AS IDENTITY  -- order of arrival
);
CREATE INDEX protocol_runs_by_thread ON factory.protocol_runs (thread_id, number);
CREATE INDEX protocol_runs_open ON factory.protocol_runs (number) WHERE status IN ('pending', 'running');
-- One run at a time works on a thread.
CREATE UNIQUE INDEX protocol_runs_alone ON factory.protocol_runs (thread_id) WHERE status = 'running';

-- What runs have streamed, so that any process can tell it to a client that joins or comes back.
CREATE TABLE factory.protocol_events (
    seq       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id uuid NOT NULL,
    run_id    uuid NOT NULL REFERENCES factory.protocol_runs ON DELETE CASCADE,
    form      text NOT NULL CHECK (form IN ('stream', 'event')),  -- a line of a run's stream, or of a thread's
    event     text NOT NULL,
    data      text NOT NULL
);
CREATE INDEX protocol_events_by_run ON factory.protocol_events (run_id, seq);
CREATE INDEX protocol_events_by_thread ON factory.protocol_events (thread_id, seq);

CREATE TABLE factory.protocol_crons (
    cron_id          uuid PRIMARY KEY,
    assistant_id     uuid NOT NULL,
    thread_id        uuid REFERENCES factory.protocol_threads ON DELETE CASCADE,
    schedule         text NOT NULL,
    timezone         text,
    payload          jsonb NOT NULL,
    metadata         jsonb NOT NULL,
    on_run_completed text,
    enabled          boolean NOT NULL,
    by               text NOT NULL,
    end_time         timestamptz,
    next_run_date    timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
);
CREATE INDEX protocol_crons_due ON factory.protocol_crons (next_run_date) WHERE enabled;

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON factory.protocol_assistants, factory.protocol_versions,
            factory.protocol_threads, factory.protocol_runs, factory.protocol_events, factory.protocol_crons
            TO factory_service;
    END IF;
END $$;
