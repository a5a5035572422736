"""Passwords: Argon2id with the parameters that OWASP names, in the PHC form that says which they were.

A check takes 19 MiB and some 30 ms of a core. So only few run at once: a storm of sign-ins waits, it does not
take the memory of the service.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from governance.access.errors import UserInvalid

LEAST: Final = 12
"""Characters of a password. NIST SP 800-63B: length counts, rules of composition do not."""
MOST: Final = 1_000

_DISTINCT: Final = 5  # fewer different characters than that are a held-down key
_MEMORY: Final = 19 * 1024  # KiB; OWASP's password storage cheat sheet: m=19 MiB, t=2, p=1
_PASSES: Final = 2
_AT_ONCE: Final = 2


@dataclass(frozen=True)
class Passwords:
    """Hashes and checks passwords, a few at a time."""

    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def hashed(self, password: str, *, name: str) -> str:
        """What is stored of the password of the user `name`. Raises UserInvalid where it is no good one."""
        check(password, name=name)
        async with self._turns:
            return await asyncio.to_thread(_hash, password)

    async def fits(self, password: str, stored: str | None) -> bool:
        """Whether it is the password; takes the same time where nothing is stored."""
        async with self._turns:
            right = await asyncio.to_thread(_verify, password[: MOST + 1], stored or _nobodys())
        return right and stored is not None


def check(password: str, *, name: str) -> None:
    """Raises UserInvalid where a password is too short, too long, the name, or one key held down."""
    good = LEAST <= len(password) <= MOST and len(set(password)) >= _DISTINCT
    if not good or password.strip().lower() == name.lower():
        raise UserInvalid(
            f"A password has {LEAST} to {MOST:,} characters, {_DISTINCT} different ones, and is not the name",
            untouched="Nothing was changed",
            todo="A sentence of a few words that nobody else uses is good",
        )


@cache
def _nobodys() -> str:
    """What is checked where there is no user, so that the time of an answer does not tell that."""
    return _hash(secrets.token_hex(16))


def _hash(password: str) -> str:
    method = Argon2id(
        salt=secrets.token_bytes(16), length=32, iterations=_PASSES, lanes=1, memory_cost=_MEMORY
    )
    return method.derive_phc_encoded(_bytes(password))


def _verify(password: str, stored: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(_bytes(password), stored)
    except InvalidKey:
        return False
    return True


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
