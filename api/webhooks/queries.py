"""Every statement that touches `webhooks`, `webhook_cursor` and `webhook_deliveries`.

Times are the database's: servers whose clocks differ share its leases.
"""

ADD = """
INSERT INTO factory.webhooks (id, url, topics, project, sealed, since, created_at, created_by)
SELECT %(id)s, %(url)s, %(topics)s, %(project)s, %(sealed)s, coalesce(max(position), 0), now(), %(by)s
FROM factory.event_feed
"""

WEBHOOKS = """
SELECT id, url, topics, project, created_at, created_by, failing_since, disabled_at, disabled_because
FROM factory.webhooks
WHERE (%(id)s::text IS NULL OR id = %(id)s) AND (%(after)s::text IS NULL OR id > %(after)s)
ORDER BY id LIMIT %(limit)s
"""

REMOVE = "DELETE FROM factory.webhooks WHERE id = %(id)s RETURNING id"

ENABLE = """
UPDATE factory.webhooks SET disabled_at = NULL, disabled_because = NULL, failing_since = NULL
WHERE id = %(id)s AND disabled_at IS NOT NULL RETURNING id
"""

DISABLE = """
UPDATE factory.webhooks SET disabled_at = now(), disabled_because = %(because)s
WHERE id = %(id)s AND disabled_at IS NULL RETURNING id, url
"""

# --- making deliveries ------------------------------------------------------------------------------------

# Where another process is at it, this one need not be.
CURSOR = "SELECT position FROM factory.webhook_cursor FOR UPDATE SKIP LOCKED"

MOVE_CURSOR = "UPDATE factory.webhook_cursor SET position = %(position)s"

WANTED = "SELECT id, topics, project, since FROM factory.webhooks WHERE disabled_at IS NULL"

ADD_DELIVERY = """
INSERT INTO factory.webhook_deliveries (id, webhook_id, position, topic)
SELECT %(id)s, w.id, %(position)s, %(topic)s FROM factory.webhooks w WHERE w.id = %(webhook)s
ON CONFLICT (webhook_id, position) DO NOTHING
"""

# A run of the Agent Protocol has ended; its number, negative, is the position. Where the webhook was removed
# or disabled since the run was accepted, nobody is told.
ADD_OF_RUN = """
INSERT INTO factory.webhook_deliveries (id, webhook_id, position, topic, protocol_run, message)
SELECT %(id)s, w.id, - r.number, 'protocol.run', r.run_id, %(message)s
FROM factory.protocol_runs r, factory.webhooks w
WHERE r.run_id = %(run)s AND w.url = %(url)s AND 'protocol.run' = ANY (w.topics) AND w.disabled_at IS NULL
ORDER BY w.id LIMIT 1
ON CONFLICT (webhook_id, position) DO NOTHING
"""

# The webhook of a URL that is told of runs of the protocol, and how many there are of any URL.
FOR_RUNS = """
SELECT min(id) FILTER (WHERE url = %(url)s) AS id, count(*) AS n
FROM factory.webhooks WHERE 'protocol.run' = ANY (topics)
"""

FORGET_OLD = """
DELETE FROM factory.webhook_deliveries WHERE created_at < now() - interval '30 days'
"""

# --- sending ----------------------------------------------------------------------------------------------

# What is due, few for each webhook, so that one that hangs does not hold up the others. Taking it is a lease:
# who dies before the end is recorded lets it run out, and the delivery is sent again, under the same id.
TAKE = """
WITH due AS (
    SELECT d.id FROM factory.webhook_deliveries d JOIN factory.webhooks w ON w.id = d.webhook_id
    WHERE d.state = 'pending' AND d.next_at <= now() AND w.disabled_at IS NULL
      AND d.webhook_id <> ALL (%(busy)s)
    ORDER BY d.next_at LIMIT %(limit)s FOR UPDATE OF d SKIP LOCKED
)
UPDATE factory.webhook_deliveries d
SET attempts = d.attempts + 1, next_at = now() + make_interval(secs => %(lease)s), last_at = now()
FROM due, factory.webhooks w WHERE d.id = due.id AND w.id = d.webhook_id
RETURNING d.id, d.webhook_id, d.position, d.topic, d.message, d.attempts, w.url, w.sealed
"""

DELIVERED = """
WITH done AS (
    UPDATE factory.webhook_deliveries SET state = 'delivered', last_status = %(status)s, last_error = NULL
    WHERE id = %(id)s
)
UPDATE factory.webhooks SET failing_since = NULL WHERE id = %(webhook)s AND failing_since IS NOT NULL
"""

# After its day it is given up. The answer is whether the webhook has failed for as long.
FAILED = """
WITH done AS (
    UPDATE factory.webhook_deliveries SET last_status = %(status)s, last_error = %(error)s,
        state = CASE WHEN state = 'pending' AND now() + make_interval(secs => %(wait)s) > until
                THEN 'failed' ELSE state END,
        next_at = now() + make_interval(secs => %(wait)s)
    WHERE id = %(id)s RETURNING state
)
UPDATE factory.webhooks w SET failing_since = coalesce(w.failing_since, now())
FROM done WHERE w.id = %(webhook)s
RETURNING done.state = 'failed' AND w.failing_since < now() - interval '20 hours' AS for_long
"""

# When something is due next, in seconds.
NEXT_DUE = """
SELECT extract(epoch FROM min(d.next_at) - now())::float8 AS seconds
FROM factory.webhook_deliveries d JOIN factory.webhooks w ON w.id = d.webhook_id
WHERE d.state = 'pending' AND w.disabled_at IS NULL
"""

DELIVERIES = """
SELECT id, webhook_id, position, topic, message, created_at, state, attempts,
       CASE WHEN state = 'pending' THEN next_at END AS next_at, last_at, last_status, last_error
FROM factory.webhook_deliveries
WHERE (%(webhook)s::text IS NULL OR webhook_id = %(webhook)s) AND (%(id)s::text IS NULL OR id = %(id)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(before)s::bigint IS NULL OR position < %(before)s)
ORDER BY position DESC LIMIT %(limit)s
"""

REDELIVER = """
UPDATE factory.webhook_deliveries
SET state = 'pending', next_at = now(), until = now() + interval '1 day'
WHERE id = %(id)s AND (%(webhook)s::text IS NULL OR webhook_id = %(webhook)s)
RETURNING id
"""
