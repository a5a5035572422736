"""Secrets that the factory gives out: 256 random bits, a prefix to know them by, and a checksum.

`fct_` begins an API token, `fcr_` a refresh token. What follows are letters and digits only: 43 of chance and
6 that check them, so that a scanner finds no others and a slip of the pen never asks the database. Only the
SHA-256 is stored: there is nothing to guess in 256 bits, so that a slow hash would protect nothing.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from string import ascii_letters, digits
from typing import Final, Literal
from zlib import crc32

Prefix = Literal["fct_", "fcr_"]

_DIGITS: Final = digits + ascii_letters
_RANDOM: Final = 43  # digits that hold 256 bits
_CHECK: Final = 6  # digits that hold 32
_SHOWN: Final = 10


def new(prefix: Prefix) -> str:
    """A secret that was never given out before."""
    body = _in_digits(secrets.randbits(256), _RANDOM)
    return prefix + body + _checksum(prefix + body)


def is_one(text: str, prefix: Prefix) -> bool:
    """Whether the text can be a secret that was given out."""
    return (
        len(text) == len(prefix) + _RANDOM + _CHECK
        and text.startswith(prefix)
        and text.isascii()
        and _checksum(text[:-_CHECK]) == text[-_CHECK:]
    )


def hashed(secret: str) -> str:
    """What is stored of it."""
    return sha256(secret.encode()).hexdigest()


def hint(secret: str) -> str:
    """How it begins: enough for a person to recognise it, too little for anything else."""
    return secret[:_SHOWN] + "…"


def _checksum(text: str) -> str:
    return _in_digits(crc32(text.encode()), _CHECK)


def _in_digits(number: int, length: int) -> str:
    text = ""
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text
