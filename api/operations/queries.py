"""Every statement behind `/ready` and `/metrics`: each is cheap however long the factory has worked."""

# The table of migrations is where the search path leads.
VERSION = "SELECT version_num AS version FROM factory.alembic_version"

# Signs of life of workers, and what waits although nobody works. Jobs of a later time do not wait.
QUEUE = """
SELECT
    (SELECT count(*) FROM factory.procrastinate_workers
     WHERE last_heartbeat > clock_timestamp() - make_interval(secs => %(lease)s)) AS workers,
    count(*) FILTER (WHERE j.status = 'todo') AS waiting,
    count(*) FILTER (WHERE j.status = 'doing') AS doing,
    count(*) FILTER (WHERE j.status = 'failed') AS failed,
    extract(epoch FROM clock_timestamp() - min(greatest(
        (SELECT max(e.at) FROM factory.procrastinate_events e
         WHERE e.job_id = j.id AND e.type IN ('deferred', 'deferred_for_retry')),
        j.scheduled_at)) FILTER (WHERE j.status = 'todo'))::float AS oldest
FROM factory.procrastinate_jobs j
WHERE j.status IN ('todo', 'doing', 'failed')
    AND (j.scheduled_at IS NULL OR j.scheduled_at <= clock_timestamp())
"""

# How many there are, and how late the latest is that nobody has taken up: workers look every few seconds.
SCHEDULES = """
SELECT count(*) FILTER (WHERE paused_at IS NULL) AS active,
    count(*) FILTER (WHERE paused_at IS NOT NULL) AS paused,
    greatest(extract(epoch FROM clock_timestamp()
        - min(next_at) FILTER (WHERE paused_at IS NULL)), 0)::float AS overdue
FROM factory.schedules
"""

RUNS = "SELECT status, count(*) AS count FROM factory.runs GROUP BY status"

APPROVALS = """
SELECT kind, count(*) AS count, extract(epoch FROM clock_timestamp() - min(created_at))::float AS oldest
FROM factory.approvals WHERE decision IS NULL GROUP BY kind
"""
