-- Who may come in: people and programs (users), what they come in with (tokens), and sign-ins (sessions).
-- Of every secret only a hash is here.

CREATE TABLE factory.users (
    name        text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9._@+-]{0,63}$'),
    role        text NOT NULL CHECK (role IN ('director', 'operator', 'auditor', 'hr')),
    password    text,                        -- Argon2id in PHC form; null: a program, which has tokens only
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL,
    deleted_at  timestamptz,                 -- the name stays: decisions are recorded under it
    deleted_by  text
);

CREATE TABLE factory.tokens (
    id            text PRIMARY KEY,
    user_name     text NOT NULL REFERENCES factory.users (name),
    label         text NOT NULL,
    hint          text NOT NULL,             -- how the secret begins, so that a person recognises it
    hash          text NOT NULL UNIQUE,      -- sha256 of 256 random bits
    permissions   text[] NOT NULL CHECK (cardinality(permissions) > 0),
    projects      text[],                    -- null: all
    created_at    timestamptz NOT NULL,
    created_by    text NOT NULL,
    expires_at    timestamptz NOT NULL,
    last_used_at  timestamptz,               -- to the minute
    revoked_at    timestamptz,
    revoked_by    text
);
CREATE INDEX tokens_by_user ON factory.tokens (user_name, created_at);

CREATE TABLE factory.sessions (
    id            text PRIMARY KEY,
    user_name     text NOT NULL REFERENCES factory.users (name),
    rotation      int NOT NULL DEFAULT 0,    -- rises with each refresh; a JWT carries the one it was made in
    refresh_hash  text NOT NULL UNIQUE,
    spent_hash    text,                      -- the one before: shown again, it was stolen
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    revoked_by    text
);
CREATE INDEX sessions_by_user ON factory.sessions (user_name);
CREATE INDEX sessions_spent ON factory.sessions (spent_hash) WHERE spent_hash IS NOT NULL;

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE ON factory.users, factory.tokens TO factory_service;
        GRANT SELECT, INSERT, UPDATE, DELETE ON factory.sessions TO factory_service;
    END IF;
END $$;
