"""The door: whose token is it?"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import cached_property

from core.database import Database
from core.events import EventLog
from core.settings import Settings
from governance.access import signing
from governance.access.errors import NotSignedIn
from governance.access.passwords import Passwords
from governance.access.principal import Means, Principal, whole
from governance.access.sessions import Sessions
from governance.access.signing import Signer
from governance.access.tokens import Tokens
from governance.access.users import Users

_LONGEST = 4_000  # characters of anything that can be a token


@dataclass(frozen=True, slots=True)
class Printed:
    """The token that the server shows its owner when it starts; it makes them director."""

    token: str
    owner: str


@dataclass(frozen=True)
class Accounts:
    """Users, API tokens and sessions of a factory, and who comes in with what."""

    db: Database
    events: EventLog
    signer: Signer
    printed: Printed | None = None
    """None: nobody comes in without a user."""

    @classmethod
    def of(cls, db: Database, settings: Settings, *, printed: Printed | None = None) -> Accounts:
        """Of an open database; makes the key that signs sessions where there is none yet. Blocks."""
        return cls(db, EventLog(db), Signer.of(settings), printed)

    @cached_property
    def users(self) -> Users:
        """The users."""
        return Users(self.db, self.events, self._passwords)

    @cached_property
    def tokens(self) -> Tokens:
        """The API tokens."""
        return Tokens(self.db, self.events)

    @cached_property
    def sessions(self) -> Sessions:
        """The sign-ins."""
        return Sessions(self.db, self.events, self._passwords, self.signer)

    async def verify(self, token: str) -> Principal:
        """Whose it is: the printed one, an API token, or that of a sign-in. Raises NotSignedIn."""
        if not token or len(token) > _LONGEST:
            raise NotSignedIn(todo=self._todo)
        if self.printed is not None and hmac.compare_digest(
            token.encode("utf-8", "replace"), self.printed.token.encode()
        ):
            return Principal(self.printed.owner, "director", whole("director"))
        if token.startswith("fct_"):
            return await self.tokens.verify(token)
        if signing.looks_like(token):
            return await self.sessions.verify(token)
        raise NotSignedIn(todo=self._todo)

    async def recall(self, means: Means, credential: str, name: str) -> Principal:
        """Who came in so before, with the rights of now, where no token was kept. Raises NotSignedIn."""
        if means == "token":
            return await self.tokens.recall(credential)
        if means == "session":
            return await self.sessions.recall(credential)
        if self.printed is None or self.printed.owner != name:
            raise NotSignedIn(todo=self._todo)
        return Principal(name, "director", whole("director"))

    @cached_property
    def _passwords(self) -> Passwords:
        return Passwords()

    @property
    def _todo(self) -> str:
        if self.printed is None:
            return "Use an API token, or sign in: POST /api/v1/sessions"
        return "Use the token that was printed when the server started, an API token, or sign in"
