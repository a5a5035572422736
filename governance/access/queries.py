"""Every statement that touches `users`, `tokens` and `sessions`."""

# --- users ----------------------------------------------------------------------------------------------

ADD_USER = """
INSERT INTO factory.users (name, role, password, created_at, created_by)
VALUES (%(name)s, %(role)s, %(password)s, %(at)s, %(by)s)
ON CONFLICT (name) DO NOTHING
RETURNING name, role, password IS NOT NULL AS signs_in, created_at, created_by, deleted_at
"""

USERS = """
SELECT name, role, password IS NOT NULL AS signs_in, created_at, created_by, deleted_at FROM factory.users
WHERE (%(name)s::text IS NULL OR name = %(name)s) AND (deleted_at IS NULL OR %(deleted)s)
  AND (%(after)s::text IS NULL OR name > %(after)s)
ORDER BY name LIMIT %(limit)s
"""

CHANGE_USER = """
UPDATE factory.users SET role = coalesce(%(role)s, role), password = coalesce(%(password)s, password)
WHERE name = %(name)s AND deleted_at IS NULL
RETURNING name, role, password IS NOT NULL AS signs_in, created_at, created_by, deleted_at
"""

DELETE_USER = """
UPDATE factory.users SET deleted_at = %(at)s, deleted_by = %(by)s, password = NULL
WHERE name = %(name)s AND deleted_at IS NULL
RETURNING name
"""

FOR_SIGN_IN = """
SELECT password, role FROM factory.users WHERE name = %(name)s AND deleted_at IS NULL
"""

# --- API tokens -----------------------------------------------------------------------------------------

ADD_TOKEN = """
INSERT INTO factory.tokens
    (id, user_name, label, hint, hash, permissions, projects, created_at, created_by, expires_at)
VALUES (%(id)s, %(user)s, %(label)s, %(hint)s, %(hash)s, %(permissions)s, %(projects)s, %(at)s, %(by)s,
    %(expires_at)s)
"""

TOKENS = """
SELECT t.id, t.user_name AS "user", t.label, t.hint, t.permissions, t.projects, t.created_at, t.created_by,
    t.expires_at, t.last_used_at, t.revoked_at, t.revoked_by
FROM factory.tokens t
WHERE (%(id)s::text IS NULL OR t.id = %(id)s) AND (%(user)s::text IS NULL OR t.user_name = %(user)s)
  AND (%(after)s::text IS NULL OR t.id > %(after)s)
ORDER BY t.id LIMIT %(limit)s
"""

TOKEN_IN_USE = """
SELECT t.id, t.user_name AS "user", u.role, t.permissions, t.projects, t.expires_at, t.last_used_at,
    t.revoked_at, u.deleted_at
FROM factory.tokens t JOIN factory.users u ON u.name = t.user_name
WHERE t.hash = %(hash)s OR t.id = %(id)s
"""

# To the minute, so that reading is not writing.
TOKEN_USED = """
UPDATE factory.tokens SET last_used_at = %(at)s
WHERE id = %(id)s AND (last_used_at IS NULL OR last_used_at < %(at)s - interval '1 minute')
"""

REVOKE_TOKEN = """
UPDATE factory.tokens SET revoked_at = %(at)s, revoked_by = %(by)s
WHERE id = %(id)s AND revoked_at IS NULL
RETURNING id
"""

# --- sessions -------------------------------------------------------------------------------------------

ADD_SESSION = """
INSERT INTO factory.sessions (id, user_name, refresh_hash, created_at, expires_at)
VALUES (%(id)s, %(user)s, %(hash)s, %(at)s, %(expires_at)s)
"""

SESSION = """
SELECT s.id, s.user_name AS "user", u.role, s.rotation, s.expires_at, s.revoked_at, u.deleted_at
FROM factory.sessions s JOIN factory.users u ON u.name = s.user_name
WHERE s.id = %(id)s
"""

SESSION_BY_REFRESH = """
SELECT s.id, s.user_name AS "user", u.role, s.rotation, s.expires_at, s.revoked_at, u.deleted_at,
    s.refresh_hash = %(hash)s AS fresh
FROM factory.sessions s JOIN factory.users u ON u.name = s.user_name
WHERE s.refresh_hash = %(hash)s OR s.spent_hash = %(hash)s
FOR UPDATE OF s
"""

ROTATE_SESSION = """
UPDATE factory.sessions SET rotation = rotation + 1, spent_hash = refresh_hash, refresh_hash = %(hash)s
WHERE id = %(id)s
"""

REVOKE_SESSIONS = """
UPDATE factory.sessions SET revoked_at = %(at)s, revoked_by = %(by)s
WHERE revoked_at IS NULL AND (%(id)s::text IS NULL OR id = %(id)s)
  AND (%(user)s::text IS NULL OR user_name = %(user)s)
RETURNING id
"""

# What is over for a day tells nobody anything; the audit keeps who signed in when.
SWEEP_SESSIONS = """
DELETE FROM factory.sessions
WHERE user_name = %(user)s AND least(expires_at, revoked_at) < %(at)s - interval '1 day'
"""
