"""Every statement about `mental_models` (core/migrations/versions/r0010_mental_models.sql)."""

_VERSION = """
SELECT m.bank, m.version, m.at, m.by, m.way, m.key, m.seen, m.lines FROM factory.mental_models m
"""

# The bank, with its last number, and of its page the newest version and what the key made. One row at least
# where there is a bank.
STATE = """
SELECT b.id AS home, b.last, m.bank, m.version, m.at, m.by, m.way, m.key, m.seen, m.lines
FROM factory.banks b LEFT JOIN factory.mental_models m ON m.bank = b.id AND (m.key = %(key)s OR m.version = (
    SELECT max(n.version) FROM factory.mental_models n WHERE n.bank = b.id))
WHERE b.project = %(project)s AND b.name = %(team)s ORDER BY m.version
"""
# The same bank with one version, the newest where none is named.
PAGE = """
SELECT b.id AS home, m.bank, m.version, m.at, m.by, m.way, m.key, m.seen, m.lines
FROM factory.banks b LEFT JOIN factory.mental_models m ON m.bank = b.id AND m.version = coalesce(
    %(version)s::int, (SELECT max(n.version) FROM factory.mental_models n WHERE n.bank = b.id))
WHERE b.project = %(project)s AND b.name = %(team)s
"""
# Banks of a project by their names, with what there is of each, and the newest page of one of them.
LOOK = """
SELECT b.id AS bank, b.name, b.live, s.id, s.embedder, s.dimension, s.whole, s.indexed,
    m.version, m.at, m.by, m.way, m.key, m.seen, m.lines
FROM factory.banks b LEFT JOIN factory.spaces s ON s.bank = b.id
LEFT JOIN factory.mental_models m ON b.name = %(team)s AND m.bank = b.id AND m.version = (
    SELECT max(n.version) FROM factory.mental_models n WHERE n.bank = b.id)
WHERE b.project = %(project)s AND b.name = ANY (%(names)s) ORDER BY b.id, s.id
"""
VERSIONS = f"{_VERSION} WHERE m.bank = %(bank)s ORDER BY m.version"

# The newest version of each page.
NEWEST = """
SELECT DISTINCT ON (b.project, b.name) b.project, b.name, m.bank, m.version, m.at, m.by, m.way, m.key,
    m.seen, m.lines
FROM factory.mental_models m JOIN factory.banks b ON b.id = m.bank
WHERE %(project)s::text IS NULL OR b.project = %(project)s
ORDER BY b.project, b.name, m.version DESC
"""

# Two writers of the same next version: one of them finds its place taken.
INSERT = """
INSERT INTO factory.mental_models (bank, version, at, by, way, key, seen, lines)
VALUES (%(bank)s, %(version)s, %(at)s, %(by)s, %(way)s, %(key)s, %(seen)s, %(lines)s)
ON CONFLICT DO NOTHING RETURNING version
"""

# What was looked at and changed nothing need not be looked at again.
SEEN = """
UPDATE factory.mental_models SET seen = greatest(seen, %(seen)s)
WHERE bank = %(bank)s AND version = %(version)s
"""

# Every version of the pages of some projects, or of all; which of their lines are meant is told in Python.
PAGES_OF_PROJECTS = """
SELECT m.bank, m.version, m.lines FROM factory.mental_models m JOIN factory.banks b ON b.id = m.bank
WHERE %(projects)s::text[] IS NULL OR b.project = ANY (%(projects)s) FOR UPDATE OF m
"""
FORGET_LINES = """
UPDATE factory.mental_models SET lines = (
    SELECT jsonb_agg(CASE WHEN l.place - 1 = ANY (%(places)s)
        THEN l.line || '{"text": "", "forgotten": true}' ELSE l.line END ORDER BY l.place)
    FROM jsonb_array_elements(lines) WITH ORDINALITY l (line, place))
WHERE bank = %(bank)s AND version = %(version)s
"""
PROJECTS = "SELECT DISTINCT project FROM factory.banks WHERE id = ANY (%(banks)s)"
THERE = "SELECT id FROM factory.banks WHERE id = ANY (%(banks)s)"
