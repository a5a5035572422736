"""What can go wrong at the door."""

from __future__ import annotations

from core.errors import BadInput, FactoryError, NotFound


class NotSignedIn(FactoryError):
    """The token is missing or wrong."""

    http_status = 401
    exit_code = 2

    def http_headers(self) -> dict[str, str]:
        """What RFC 9110 asks of a 401."""
        return {"WWW-Authenticate": "Bearer"}


class SignInRefused(NotSignedIn):
    """Name and password do not fit."""


class UserInvalid(BadInput):
    """The user cannot be made so."""


class UserExists(BadInput):
    """There is, or was, a user of that name."""

    http_status = 409


class UserNotFound(NotFound):
    """There is no such user."""


class TokenInvalid(BadInput):
    """The token cannot be made so."""


class TokenNotFound(NotFound):
    """There is no such token."""


class SessionNotFound(NotFound):
    """There is no such session."""
