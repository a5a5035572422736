"""API tokens: what a program comes in with. Scoped, expiring, revocable; only a hash of each is kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from core import clock
from core.database import Database
from core.events import SERVICE, EventLog
from governance.access import credentials, queries
from governance.access.errors import NotSignedIn, TokenInvalid, TokenNotFound
from governance.access.principal import Principal, Scopes
from governance.access.users import User
from governance.roles import MEANINGS, PERMISSIONS, Permission

LIFETIME: Final = timedelta(days=90)
LONGEST: Final = timedelta(days=366)
_MOST_PROJECTS: Final = 100
_LONGEST_LABEL: Final = 100


@dataclass(frozen=True, slots=True)
class Token:
    """An API token, without its secret."""

    id: str
    user: str
    label: str
    hint: str
    """How the secret begins."""
    permissions: tuple[Permission, ...]
    projects: tuple[str, ...] | None
    """None: all."""
    created_at: datetime
    created_by: str
    expires_at: datetime
    last_used_at: datetime | None
    """To the minute."""
    revoked_at: datetime | None
    revoked_by: str | None


@dataclass(frozen=True)
class Tokens:
    """The table of API tokens. Each change and its event are one transaction."""

    db: Database
    events: EventLog

    async def issue(
        self,
        user: User,
        label: str,
        *,
        by: str,
        permissions: Collection[Permission] | None = None,
        projects: Collection[str] | None = None,
        lifetime: timedelta = LIFETIME,
        within: Principal | None = None,
    ) -> tuple[Token, str]:
        """A new token and its secret, which is shown this once. Without `permissions`, all of the role's.

        It opens no more, and for no longer, than what its maker came in with (`within`). Raises TokenInvalid.
        """
        wanted = _checked_permissions(user, permissions, within)
        if not timedelta() < lifetime <= LONGEST:
            raise TokenInvalid(
                f"A token lasts up to {LONGEST.days} days", untouched="No token was made", todo="Give fewer"
            )
        if not label.strip() or len(label) > _LONGEST_LABEL or not label.isprintable():
            raise TokenInvalid(
                f"A token has a label of up to {_LONGEST_LABEL} characters on one line",
                untouched="No token was made",
                todo="Say what it is for",
            )
        if projects is not None and not 0 < len(projects) <= _MOST_PROJECTS:
            raise TokenInvalid(
                f"A token is bound to 1 to {_MOST_PROJECTS} projects, or to none",
                untouched="No token was made",
            )
        now, secret, token_id = clock.now(), credentials.new("fct_"), clock.new_id("token")
        bound = _bound(projects, within)
        expires_at = now + lifetime
        if within is not None and within.expires_at is not None:
            expires_at = min(expires_at, within.expires_at)
        values = {
            "id": token_id,
            "user": user.name,
            "label": label,
            "hint": credentials.hint(secret),
            "hash": credentials.hashed(secret),
            "permissions": wanted,
            "projects": bound,
            "at": now,
            "by": by,
            "expires_at": expires_at,
        }
        async with self.db.pool.connection() as conn, conn.transaction():
            await conn.execute(queries.ADD_TOKEN, values)
            said = {"token_id": token_id, "user": user.name, "label": label, "permissions": wanted, "by": by}
            await self.events.append(SERVICE, "token.issued", {**said, "projects": bound}, conn=conn)
        return await self.get(token_id), secret

    async def get(self, token_id: str) -> Token:
        """One token; raises TokenNotFound."""
        found = await self.list(token_id=token_id) if token_id.isprintable() else []
        if not found:
            raise TokenNotFound(f"There is no token {token_id[:80]!r}")
        return found[0]

    async def list(
        self,
        *,
        user: str | None = None,
        token_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> list[Token]:
        """The tokens in the order in which they were made, from after the id `after` on."""
        asked = {"id": token_id, "user": user, "after": after, "limit": limit}
        async with self.db.pool.connection() as conn:
            rows = await (await conn.execute(queries.TOKENS, asked)).fetchall()
        return [_token(row) for row in rows]

    async def revoke(self, token_id: str, *, by: str) -> None:
        """End it, at once; again does nothing. Raises TokenNotFound."""
        token = await self.get(token_id)
        async with self.db.pool.connection() as conn, conn.transaction():
            values = {"id": token_id, "at": clock.now(), "by": by}
            if await (await conn.execute(queries.REVOKE_TOKEN, values)).fetchone() is not None:
                said = {"token_id": token_id, "user": token.user, "by": by}
                await self.events.append(SERVICE, "token.revoked", said, conn=conn)

    async def verify(self, secret: str) -> Principal:
        """Who comes in with it; raises NotSignedIn."""
        if not credentials.is_one(secret, "fct_"):
            raise NotSignedIn(todo="Copy the whole token, or make a new one with: factory token create")
        async with self.db.pool.connection() as conn:
            asked = {"hash": credentials.hashed(secret), "id": None}
            return await self._principal(conn, asked)

    async def recall(self, token_id: str) -> Principal:
        """Who came in with the token of that id, as long as it is good; raises NotSignedIn."""
        async with self.db.pool.connection() as conn:
            return await self._principal(conn, {"hash": None, "id": token_id})

    async def _principal(self, conn: AsyncConnection[DictRow], asked: dict[str, Any]) -> Principal:
        row = await (await conn.execute(queries.TOKEN_IN_USE, asked)).fetchone()
        now = clock.now()
        why = "" if row is None else _refusal(row, now)
        if row is None or why:
            raise NotSignedIn(why, todo="Make a new one with: factory token create")
        if row["last_used_at"] is None or now - row["last_used_at"] > timedelta(minutes=1):
            await conn.execute(queries.TOKEN_USED, {"id": row["id"], "at": now})
        scopes = Scopes(
            frozenset(cast("list[Permission]", row["permissions"])),
            None if row["projects"] is None else frozenset(row["projects"]),
        )
        return Principal(row["user"], row["role"], scopes, "token", row["id"], row["expires_at"])


def _refusal(row: DictRow, now: datetime) -> str:
    if row["deleted_at"] is not None:
        return "The token's user was deleted"
    if row["revoked_at"] is not None:
        return "The token was revoked"
    return "The token has expired" if row["expires_at"] <= now else ""


def _bound(projects: Collection[str] | None, within: Principal | None) -> list[str] | None:
    limit = None if within is None else within.scopes.projects
    if limit is not None and not (projects is not None and limit.issuperset(projects)):
        raise TokenInvalid(
            "A token that is bound to projects makes tokens for these only",
            untouched="No token was made",
            todo=f"Bind it to: {', '.join(sorted(limit))}",
        )
    return None if projects is None else sorted(set(projects))


def _checked_permissions(
    user: User, wanted: Collection[Permission] | None, within: Principal | None
) -> list[Permission]:
    allowed = PERMISSIONS[user.role]
    if within is not None:
        allowed &= within.scopes.permissions
    chosen = allowed if wanted is None else frozenset(wanted)
    unknown, beyond = chosen - MEANINGS.keys(), chosen - allowed
    if unknown or beyond or not chosen:
        raise TokenInvalid(
            f"There is no permission {min(unknown)!r}"
            if unknown
            else f"{user.name} ({user.role}) may not {min(beyond)}"
            if beyond
            else "A token needs a permission",
            untouched="No token was made",
            todo=f"A token of {user.name} can have: {', '.join(sorted(allowed))}",
        )
    return sorted(chosen)


def _token(row: DictRow) -> Token:
    fields: dict[str, Any] = dict(row)
    fields["permissions"] = tuple(fields["permissions"])
    fields["projects"] = None if fields["projects"] is None else tuple(fields["projects"])
    return Token(**fields)
