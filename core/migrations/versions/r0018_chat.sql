-- What people and the factory said to each other. What a run did is not in here: a thread names its runs, and
-- their part of the conversation is read from the event log.

CREATE TABLE factory.chat_threads (
    id         text PRIMARY KEY CHECK (id <> ''),
    owner      text NOT NULL CHECK (owner <> ''),       -- a person's name
    name       text,
    metadata   jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX chat_threads_of_owner ON factory.chat_threads (owner, updated_at DESC, id DESC);

CREATE TABLE factory.chat_messages (
    id        text PRIMARY KEY CHECK (id <> ''),
    thread_id text NOT NULL REFERENCES factory.chat_threads (id) ON DELETE CASCADE,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    step      jsonb NOT NULL CHECK (jsonb_typeof(step) = 'object')   -- as the page has it
);
CREATE INDEX chat_messages_of_thread ON factory.chat_messages (thread_id, at, id);

CREATE TABLE factory.chat_files (
    id         text PRIMARY KEY CHECK (id <> ''),
    thread_id  text NOT NULL REFERENCES factory.chat_threads (id) ON DELETE CASCADE,
    message_id text NOT NULL,
    name       text NOT NULL,
    mime       text NOT NULL,
    bytes      bigint NOT NULL CHECK (bytes >= 0),
    at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX chat_files_of_thread ON factory.chat_files (thread_id, at, id);

-- A message that asked for a run, and the run's id, which is written down before there is a run: cut off in
-- between, the same message still makes only one. Many threads may show one run.
CREATE TABLE factory.chat_runs (
    message_id text PRIMARY KEY CHECK (message_id <> ''),
    thread_id  text NOT NULL REFERENCES factory.chat_threads (id) ON DELETE CASCADE,
    run_id     text NOT NULL CHECK (run_id <> ''),
    at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX chat_runs_of_thread ON factory.chat_runs (thread_id, at, message_id);

CREATE TABLE factory.chat_feedback (
    thread_id text NOT NULL REFERENCES factory.chat_threads (id) ON DELETE CASCADE,
    step_id   text NOT NULL CHECK (step_id <> ''),
    by        text NOT NULL CHECK (by <> ''),
    helpful   boolean NOT NULL,
    comment   text,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (thread_id, step_id, by)
);

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON factory.chat_threads, factory.chat_messages, factory.chat_files,
            factory.chat_runs, factory.chat_feedback TO factory_service;
    END IF;
END $$;
