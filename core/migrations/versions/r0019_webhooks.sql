-- Who is told over HTTP of what happens (webhooks), and each thing that one of them is to be told (deliveries).

CREATE TABLE factory.webhooks (
    id                text PRIMARY KEY,
    url               text NOT NULL,
    topics            text[] NOT NULL CHECK (cardinality(topics) > 0),
    project           text,                  -- null: all
    sealed            bytea NOT NULL,        -- the secret that signs, encrypted with a key outside the database
    since             bigint NOT NULL,       -- events up to this position are not for it
    created_at        timestamptz NOT NULL,
    created_by        text NOT NULL,
    failing_since     timestamptz,           -- of the oldest failure after which nothing went well
    disabled_at       timestamptz,
    disabled_because  text
);

-- Up to which position of the event feed deliveries were made. Who makes them holds this row.
CREATE TABLE factory.webhook_cursor (
    id        boolean PRIMARY KEY DEFAULT true CHECK (id),   -- there is one row
    position  bigint NOT NULL
);
INSERT INTO factory.webhook_cursor (position) SELECT coalesce(max(position), 0) FROM factory.event_feed;

CREATE TABLE factory.webhook_deliveries (
    id            text PRIMARY KEY,          -- the webhook-id header: the same in each attempt
    webhook_id    text NOT NULL REFERENCES factory.webhooks (id) ON DELETE CASCADE,
    position      bigint NOT NULL,
    topic         text NOT NULL,
    body          text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    state         text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts      int NOT NULL DEFAULT 0,
    next_at       timestamptz NOT NULL DEFAULT now(),   -- while an attempt is under way, when its lease ends
    until         timestamptz NOT NULL DEFAULT now() + interval '1 day',   -- no attempt begins after this
    last_at       timestamptz,
    last_status   int,
    last_error    text,
    UNIQUE (webhook_id, position)
);
CREATE INDEX webhook_deliveries_due ON factory.webhook_deliveries (next_at) WHERE state = 'pending';

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON factory.webhooks, factory.webhook_deliveries TO factory_service;
        GRANT SELECT, UPDATE ON factory.webhook_cursor TO factory_service;
    END IF;
END $$;
