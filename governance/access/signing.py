"""The tokens of a sign-in: JWTs, signed with Ed25519, good for a quarter of an hour.

A JWT carries no rights: it names a session, and the session's row and the user's say what counts now. So a
revoked session, a deleted user and a changed role are known with the next request.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core import clock, keys
from core.settings import Settings
from governance.access.errors import NotSignedIn

LIFETIME: Final = timedelta(minutes=15)
ISSUER: Final = "factory"
AUDIENCE: Final = "factory-api"

_ALGORITHM: Final = "EdDSA"
_SKEW: Final = timedelta(seconds=60)  # between the clocks of two servers
_CLAIMS: Final = ["iss", "aud", "sub", "sid", "jti", "iat", "exp"]
_LONGEST: Final = 2_000  # characters; ours have about 400


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signed token says."""

    user: str
    session: str
    rotation: int
    """Which refresh of the session it came from."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs and reads them with one key."""

    key: Ed25519PrivateKey

    @classmethod
    def of(cls, settings: Settings) -> Signer:
        """With the key of the settings, or the one in the home folder, made where there is none yet.

        Servers on several machines know each other's tokens where they have the same key. Blocks.
        """
        path = settings.session_key_file
        if path is None:
            path = settings.home / "access" / "session.key"
            keys.make(path, path.with_suffix(".pub"))
        return cls(keys.private_key(path))

    def sign(self, claim: Claim, now: datetime) -> str:
        """The token."""
        said = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": claim.user,
            "sid": claim.session,
            "jti": f"{claim.session}.{claim.rotation}",
            "iat": int(now.timestamp()),
            "exp": int((now + LIFETIME).timestamp()),
        }
        return jwt.encode(said, self.key, algorithm=_ALGORITHM)

    def read(self, token: str) -> Claim:
        """What it says; raises NotSignedIn where it is forged, out of date, or for somebody else."""
        if len(token) > _LONGEST:
            raise NotSignedIn("The token is too long to be one of ours")
        try:
            said = jwt.decode(
                token,
                self.key.public_key(),
                algorithms=[_ALGORITHM],  # never what the token itself names
                issuer=ISSUER,
                audience=AUDIENCE,
                # Times are compared below, by the clock that everything here goes by.
                options={"require": _CLAIMS, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
            begins, ends = float(said["iat"]), float(said["exp"])
            session, _, rotation = str(said["jti"]).rpartition(".")
            claim = Claim(str(said["sub"]), str(said["sid"]), int(rotation))
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise NotSignedIn("The token is not one that this factory signed", todo="Sign in again") from None
        now = clock.now().timestamp()
        if session != claim.session or begins > now + _SKEW.total_seconds():
            raise NotSignedIn("The token is not one that this factory signed", todo="Sign in again")
        if ends <= now:
            raise NotSignedIn("The token is out of date", todo="Refresh it, or sign in again")
        return claim


def looks_like(text: str) -> bool:
    """Whether it is to be read as a JWT at all."""
    return text.count(".") == 2
