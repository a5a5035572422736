-- What was answered to a request that has an Idempotency-Key, for 24 hours: who sends it again gets that answer.
-- While a request is being answered, its holder says from time to time that it lives; once it is silent for
-- too long, whoever sends the request again takes over, under the same effect_id.
CREATE TABLE factory.idempotency_keys (
    id          text PRIMARY KEY,             -- sha256 of caller and key
    request     text NOT NULL,                -- sha256 of method, address and body
    effect_id   text NOT NULL,                -- what the effect is named by, however often it is tried
    holder      text NOT NULL,
    seen_at     timestamptz NOT NULL,         -- when the holder last said that it lives
    attempts    int NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    status      int,                          -- null until it is answered
    headers     jsonb,
    body        text
);
CREATE INDEX idempotency_keys_by_age ON factory.idempotency_keys (created_at);

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON factory.idempotency_keys TO factory_service;
    END IF;
END $$;
