"""Who has signed in at the page: a signed cookie, the one that Chainlit reads too.

It carries no rights. It says by what somebody came in, and that is looked up for each request: a token that
was revoked, a session that has ended and a role that was changed count at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core import clock, redaction
from governance.access import Accounts, NotSignedIn, Principal
from governance.access.principal import Means

LASTS: Final = 15 * 86_400
"""Seconds that a cookie lasts, where what it stands on lasts as long."""
_WAY: Final = "HS256"


class BoundToken(NotSignedIn):
    """A token that is bound to projects does not open the chat, where everything is talked about."""


@dataclass(frozen=True)
class Sessions:
    """Makes and reads cookies."""

    accounts: Accounts
    secret: str

    @classmethod
    def of(cls, accounts: Accounts) -> Sessions:
        """Signed with a key that comes from the one of sign-ins: servers that share it know each other's."""
        made = HKDF(SHA256(), 32, salt=None, info=b"factory chat cookie")
        secret = made.derive(accounts.signer.key.private_bytes_raw()).hex()
        redaction.know(secret)
        return cls(accounts, secret)

    async def sign_in(self, token: str) -> str:
        """The cookie of somebody who shows a token; raises NotSignedIn."""
        return self.begin(await self.accounts.verify(token))

    async def sign_in_by_name(self, name: str, secret: str) -> str:
        """The cookie of somebody who gives a password, or a token in its place; raises NotSignedIn."""
        try:
            return await self.sign_in(secret)
        except BoundToken:
            raise
        except NotSignedIn:
            signed = await self.accounts.sessions.sign_in(name, secret)
        return self.begin(await self.accounts.sessions.recall(signed.session))

    def begin(self, person: Principal) -> str:
        """The cookie of a person who has been let in."""
        if person.scopes.projects is not None:
            raise BoundToken(todo="Use a token that is bound to no project")
        now = int(clock.now().timestamp())
        told: dict[str, Any] = {
            "identifier": person.name,
            "display_name": person.name,
            "metadata": {"means": person.means, "credential": person.credential},
            "iat": now,
            "exp": now + LASTS,
        }
        return jwt.encode(told, self.secret, algorithm=_WAY)

    async def person(self, cookie: str) -> Principal | None:
        """Whom a cookie stands for, with the rights of now; None where for nobody."""
        try:
            told = jwt.decode(cookie, self.secret, algorithms=[_WAY], options={"require": ["exp"]})
            how = cast("dict[str, str]", told["metadata"])
            return await self.accounts.recall(
                cast(Means, how["means"]), str(how["credential"]), str(told["identifier"])
            )
        except (jwt.InvalidTokenError, KeyError, TypeError, NotSignedIn):
            return None
