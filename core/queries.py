"""Every statement of this package that touches the schema `factory` (its tables are made in migrations/)."""

from functools import cache

# The version of the schema, and whether this login may take the service's role in it. One query per opening.
STATE = """
SELECT (SELECT version_num FROM factory.alembic_version) AS version,
       EXISTS (SELECT FROM pg_roles r
               WHERE r.rolname = 'factory_service' AND r.rolname <> current_user
                 AND pg_has_role(current_user, r.oid, 'MEMBER')
                 AND has_schema_privilege(r.oid, 'factory', 'USAGE')) AS may_serve
"""

VERSION = "SELECT version_num AS version FROM factory.alembic_version"

NOW = "SELECT clock_timestamp() AS now"

# A crash recovery begins the statistics anew (pgstat_reset_after_failure), also under a living postmaster.
INCARNATION = """
SELECT pg_postmaster_start_time() AS started, stats_reset AS recovered FROM pg_stat_wal
"""

# How far LangGraph's own migrations have come.
CHECKPOINT_VERSION = "SELECT max(v) AS version FROM factory.checkpoint_migrations"

# The service uses LangGraph's tables, but does not own them.
GRANT_CHECKPOINTS = """
DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON factory.checkpoints, factory.checkpoint_blobs,
            factory.checkpoint_writes TO factory_service;
        GRANT SELECT ON factory.checkpoint_migrations TO factory_service;
    END IF;
END $$
"""

# As above, for LangGraph's store.
GRANT_STORE = """
DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON factory.store TO factory_service;
        GRANT SELECT ON factory.store_migrations TO factory_service;
    END IF;
END $$
"""

# What a holder that was overtaken may not write any more (core/fencing.py).
FENCE_CHECKPOINTS = """
SELECT factory.fence_table(fenced) FROM unnest(ARRAY['factory.checkpoints', 'factory.checkpoint_blobs',
    'factory.checkpoint_writes']::regclass[]) AS fenced
"""

# Under what this session writes, until it is said anew.
SET_FENCE = "SELECT set_config('factory.fence', %s, false)"

CREATE_SCHEMA = "CREATE SCHEMA IF NOT EXISTS factory"

# Tried again and again, not waited for: LangGraph builds indexes concurrently, and that waits for every
# statement that is under way, so that a waiter inside one would be a deadlock.
LOCK_MIGRATIONS = "SELECT pg_try_advisory_lock(hashtextextended('factory.migrations', 0)) AS locked"
UNLOCK_MIGRATIONS = "SELECT pg_advisory_unlock(hashtextextended('factory.migrations', 0))"

# The next event of a run, with its texts where it has any; `n` tells several in one statement apart.
_APPEND = """
SELECT run_id, seq, record, prev_hash, hash
FROM {lazily} factory.append_event(%(run_id)s, %(at{n})s, %(kind{n})s, %(team{n})s, %(key{n})s, %(record{n})s)
"""
# Texts go as they are: in the written form of an array the driver would mask each quotation mark in them.
_APPEND_TEXTED = """
SELECT run_id, seq, record, prev_hash, hash
FROM {lazily} factory.append_event_with_texts(%(run_id)s, %(at{n})s, %(kind{n})s, %(team{n})s, %(key{n})s,
    %(record{n})s, %(names{n})b::text[], %(salts{n})b::text[], %(bodies{n})b::text[])
"""

# For events with keys that a driven run writes: their commit does not wait for the disk. A server that dies
# may lose them, but then it has also lost every later commit of its life, among them the checkpoint of the
# node that wrote them, and that node, run again, writes them again. core/incarnation.py keeps that checkpoint
# from reaching the server's next life.
_LAZILY = "WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))"


@cache
def append(texted: tuple[bool, ...], *, lazily: bool) -> bytes:
    """What appends so many events of one run, each with texts or without, one after the other."""
    arms = [
        (_APPEND_TEXTED if with_texts else _APPEND).format(n=number, lazily="lazily," if lazily else "")
        for number, with_texts in enumerate(texted)
    ]
    # Each function begins when the one before has ended, and sees what that did.
    together = " UNION ALL ".join(arms)
    return " ".join((f"{_LAZILY} {together}" if lazily else together).split()).encode()


# What somebody said in an event, which stands beside it (core/said.py): the bodies by name.
_SAID = """
CASE WHEN strpos(record, '"said:') > 0 THEN
    (SELECT jsonb_object_agg(t.name, t.body) FROM factory.event_texts t
     WHERE t.run_id = event.run_id AND t.seq = event.seq AND starts_with(t.name, 'said:')) END AS said
"""

# The events of a run that name a text, or say of one that it is forgotten.
READ_TEXTED = """
SELECT run_id, seq, record, prev_hash, hash FROM factory.events
WHERE run_id = %(run_id)s AND kind = %(kind)s
UNION ALL
SELECT run_id, seq, record, prev_hash, hash FROM factory.events
WHERE run_id = %(run_id)s AND kind <> %(kind)s AND strpos(record, '"texts":{') > 0
  AND (%(seqs)s::bigint[] IS NULL OR seq = ANY (%(seqs)s::bigint[]))
ORDER BY seq
"""

READ_TEXTS = """
SELECT seq, name, salt, body, forgotten_by FROM factory.event_texts
WHERE run_id = %(run_id)s AND (%(seqs)s::bigint[] IS NULL OR seq = ANY (%(seqs)s::bigint[]))
"""

# All that a transaction reads is of one moment.
ONE_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"

READ = f"""
SELECT run_id, seq, record, prev_hash, hash, {_SAID} FROM factory.events event
WHERE run_id = %(run_id)s AND seq > %(after)s
  AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s::text[]))
ORDER BY seq LIMIT %(limit)s
"""  # noqa: S608

READ_AT = f"""
SELECT run_id, seq, record, prev_hash, hash, {_SAID} FROM factory.events event
WHERE run_id = %(run_id)s AND seq = ANY (%(seqs)s::bigint[])
ORDER BY seq
"""  # noqa: S608

LISTEN = "LISTEN factory_events"

NUMBER = "SELECT factory.number_events(%(runs)s::text[]) AS newest"
NEWEST_POSITION = "SELECT coalesce(max(position), 0) AS newest FROM factory.event_feed"

# A page of the events of all runs. It ends after so many rows, or with the row that reaches so many bytes.
READ_FEED = f"""
SELECT position, project, run_id, seq, kind, record, prev_hash, hash, {_SAID} FROM (
    SELECT f.position, p.name AS project, e.run_id, e.seq, e.kind, e.record, e.prev_hash, e.hash,
           sum(octet_length(e.record)) OVER (ORDER BY f.position) - octet_length(e.record) AS bytes_before
    FROM factory.event_feed f JOIN factory.events e USING (run_id, seq)
    LEFT JOIN factory.runs r ON r.id = e.run_id LEFT JOIN factory.projects p ON p.id = r.project_id
    WHERE f.position > %(after)s
      AND (%(runs)s::text[] IS NULL OR f.run_id = ANY (%(runs)s::text[]))
      AND (%(projects)s::text[] IS NULL OR p.name = ANY (%(projects)s::text[]))
      AND (p.name IS NOT NULL OR NOT %(of_projects)s)
      AND (%(kinds)s::text[] IS NULL OR e.kind = ANY (%(kinds)s::text[])
           OR split_part(e.kind, '.', 1) = ANY (%(nouns)s::text[]))
    ORDER BY f.position LIMIT %(limit)s
) AS event WHERE bytes_before < %(bytes)s ORDER BY position
"""  # noqa: S608

READ_FEED_AT = f"""
SELECT position, project, run_id, seq, kind, record, prev_hash, hash, {_SAID} FROM (
    SELECT f.position, p.name AS project, e.run_id, e.seq, e.kind, e.record, e.prev_hash, e.hash
    FROM factory.event_feed f JOIN factory.events e USING (run_id, seq)
    LEFT JOIN factory.runs r ON r.id = e.run_id LEFT JOIN factory.projects p ON p.id = r.project_id
    WHERE f.position = ANY (%(positions)s::bigint[])
) AS event ORDER BY position
"""  # noqa: S608

# The same of one run, in the order of its chain; also of what has no position yet.
READ_FEED_OF_RUN = f"""
SELECT position, project, run_id, seq, kind, record, prev_hash, hash, {_SAID} FROM (
    SELECT f.position, p.name AS project, e.run_id, e.seq, e.kind, e.record, e.prev_hash, e.hash,
           sum(octet_length(e.record)) OVER (ORDER BY e.seq) - octet_length(e.record) AS bytes_before
    FROM factory.events e LEFT JOIN factory.event_feed f USING (run_id, seq)
    LEFT JOIN factory.runs r ON r.id = e.run_id LEFT JOIN factory.projects p ON p.id = r.project_id
    WHERE e.run_id = %(run_id)s AND e.seq > %(after)s
      AND (%(projects)s::text[] IS NULL OR p.name = ANY (%(projects)s::text[]))
      AND (p.name IS NOT NULL OR NOT %(of_projects)s)
      AND (%(kinds)s::text[] IS NULL OR e.kind = ANY (%(kinds)s::text[])
           OR split_part(e.kind, '.', 1) = ANY (%(nouns)s::text[]))
    ORDER BY e.seq LIMIT %(limit)s
) AS event WHERE bytes_before < %(bytes)s ORDER BY seq
"""  # noqa: S608

# A commit that waits for the disk carries all earlier ones there; it has to write something for that.
FLUSH = """
WITH thoroughly AS MATERIALIZED (SELECT set_config('synchronous_commit', 'on', true))
SELECT pg_logical_emit_message(true, 'factory', '') FROM thoroughly
"""

HEADS = """
SELECT run_id, seq, hash FROM factory.run_heads
WHERE %(run_id)s::text IS NULL OR run_id = %(run_id)s
"""

CHAINS = """
SELECT run_id, seq, at, kind, team, key, record, prev_hash, hash FROM factory.events
WHERE %(run_id)s::text IS NULL OR run_id = %(run_id)s
ORDER BY run_id, seq
"""

# In the order of CHAINS, and only of runs that are in it.
TEXTS = """
SELECT run_id, seq, name, salt, body, forgotten_by FROM factory.event_texts t
WHERE (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
  AND EXISTS (SELECT FROM factory.events e WHERE e.run_id = t.run_id)
ORDER BY run_id, seq, name
"""

TEXTS_WITHOUT_EVENT = """
SELECT run_id, seq, name FROM factory.event_texts t
WHERE (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
  AND NOT EXISTS (SELECT FROM factory.events e WHERE e.run_id = t.run_id)
ORDER BY run_id, seq, name LIMIT 1
"""

# What the login behind this session could do to the log; SET ROLE alone protects from accidents only.
PROTECTION = """
SELECT session_user AS login,
       (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) AS superuser,
       pg_has_role(session_user, c.relowner, 'MEMBER') AS owner,
       has_table_privilege(session_user, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writer,
       (SELECT count(*) FROM pg_trigger t
        WHERE t.tgrelid IN ('factory.events'::regclass, 'factory.run_heads'::regclass,
                            'factory.event_texts'::regclass)
          AND NOT t.tgisinternal AND t.tgenabled = 'A') = 5 AS triggers
FROM pg_class c WHERE c.oid = 'factory.events'::regclass
"""

COUNT = """
SELECT count(*) AS events FROM factory.events
WHERE %(run_id)s::text IS NULL OR run_id = %(run_id)s
"""
