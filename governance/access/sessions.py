"""Sign-ins: name and password become a signed token for a quarter of an hour and a refresh token for the day.

A refresh token is good once. Shown a second time, somebody has copied it, and the whole session ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import DictRow

from core import clock
from core.database import Database
from core.events import SERVICE, EventLog
from governance.access import credentials, queries
from governance.access.errors import NotSignedIn, SessionNotFound, SignInRefused
from governance.access.passwords import Passwords
from governance.access.principal import Principal, whole
from governance.access.signing import LIFETIME, Claim, Signer
from governance.roles import Role

DAY: Final = timedelta(hours=12)
"""How long a session lasts, refreshed or not."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What somebody gets who signs in or refreshes."""

    session: str
    user: str
    role: Role
    access_token: str
    refresh_token: str
    seconds: int
    """For which the access token is good."""


@dataclass(frozen=True)
class Sessions:
    """The table of sessions."""

    db: Database
    events: EventLog
    passwords: Passwords
    signer: Signer

    async def sign_in(self, name: str, password: str) -> SignedIn:
        """A new session; raises SignInRefused, which never says whether it was the name."""
        async with self.db.pool.connection() as conn:
            asked = {"name": name.replace("\x00", "").encode("utf-8", "replace").decode()[:100]}
            row = await (await conn.execute(queries.FOR_SIGN_IN, asked)).fetchone()
        if not await self.passwords.fits(password, None if row is None else row["password"]) or row is None:
            raise SignInRefused(todo="Correct them; who has no password has an API token")
        session, refresh, now = clock.new_id("session"), credentials.new("fcr_"), clock.now()
        values = {"id": session, "user": name, "hash": credentials.hashed(refresh), "at": now}
        async with self.db.pool.connection() as conn, conn.transaction():
            await conn.execute(queries.SWEEP_SESSIONS, {"user": name, "at": now})
            await conn.execute(queries.ADD_SESSION, {**values, "expires_at": now + DAY})
            said = {"session": session, "user": name}
            await self.events.append(SERVICE, "session.started", said, conn=conn)
        return self._signed(session, name, row["role"], 0, refresh)

    async def refresh(self, refresh_token: str) -> SignedIn:
        """The next pair of tokens; raises NotSignedIn."""
        again = "Sign in again"
        if not credentials.is_one(refresh_token, "fcr_"):
            raise NotSignedIn("That is no refresh token", todo=again)
        now, fresh = clock.now(), credentials.new("fcr_")
        async with self.db.pool.connection() as conn, conn.transaction():
            asked = {"hash": credentials.hashed(refresh_token)}
            row = await (await conn.execute(queries.SESSION_BY_REFRESH, asked)).fetchone()
            if row is None or not _is_open(row, now):
                raise NotSignedIn("The session is over", todo=again)
            if row["fresh"]:
                values = {"id": row["id"], "hash": credentials.hashed(fresh)}
                await conn.execute(queries.ROTATE_SESSION, values)
                return self._signed(row["id"], row["user"], row["role"], row["rotation"] + 1, fresh)
            by = "a refresh token that was used twice"
            ending = {"id": row["id"], "user": None, "at": now, "by": by}
            await conn.execute(queries.REVOKE_SESSIONS, ending)
            said = {"session": row["id"], "user": row["user"], "by": by}
            await self.events.append(SERVICE, "session.ended", said, conn=conn)
        # Said outside the transaction, which a raise would undo.
        raise NotSignedIn("The session is over", todo=again)

    async def end(self, session: str, *, by: str) -> None:
        """Sign out. Raises SessionNotFound where it is over already."""
        async with self.db.pool.connection() as conn, conn.transaction():
            values = {"id": session, "user": None, "at": clock.now(), "by": by}
            if await (await conn.execute(queries.REVOKE_SESSIONS, values)).fetchone() is None:
                raise SessionNotFound(f"There is no open session {session[:80]!r}")
            said = {"session": session, "user": by, "by": by}
            await self.events.append(SERVICE, "session.ended", said, conn=conn)

    async def verify(self, token: str) -> Principal:
        """Who comes in with a signed token; raises NotSignedIn."""
        claim = self.signer.read(token)
        async with self.db.pool.connection() as conn:
            row = await (await conn.execute(queries.SESSION, {"id": claim.session})).fetchone()
        if row is None or row["user"] != claim.user:
            raise NotSignedIn("The session is over", todo="Sign in again")
        if not _is_open(row, clock.now()):
            raise NotSignedIn("The session is over", todo="Sign in again")
        # The one before may be under way in another request; older ones are revoked by the refresh.
        if claim.rotation not in (row["rotation"], row["rotation"] - 1):
            raise NotSignedIn("The token was refreshed since", todo="Use the newest one")
        return Principal(row["user"], row["role"], whole(row["role"]), "session", row["id"])

    async def recall(self, session: str) -> Principal:
        """Who signed in so, as long as the session is open; raises NotSignedIn."""
        async with self.db.pool.connection() as conn:
            row = await (await conn.execute(queries.SESSION, {"id": session})).fetchone()
        if row is None or not _is_open(row, clock.now()):
            raise NotSignedIn("The session is over", todo="Sign in again")
        return Principal(row["user"], row["role"], whole(row["role"]), "session", row["id"])

    def _signed(self, session: str, user: str, role: Role, rotation: int, refresh: str) -> SignedIn:
        access = self.signer.sign(Claim(user, session, rotation), clock.now())
        return SignedIn(session, user, role, access, refresh, int(LIFETIME.total_seconds()))


def _is_open(row: DictRow, now: datetime) -> bool:
    return row["revoked_at"] is None and row["deleted_at"] is None and row["expires_at"] > now
