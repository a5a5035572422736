"""The key that signs checkpoints of the audit: made on first use, outside the database, for its owner's eyes.

Who can write to the database and read this key can make up a checkpoint too; so a checkpoint is kept where
neither is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core import keys
from core.keys import KeyUnusable
from core.settings import Settings

__all__ = ["KeyUnusable", "signing_key", "trusted_key"]

_PRIVATE: Final = "signing.key"
_PUBLIC: Final = "signing.pub"


def signing_key(settings: Settings) -> Ed25519PrivateKey:
    """The key that this factory signs with, made where there is none yet. Raises KeyUnusable."""
    path = settings.audit_key_file
    if path is None:
        path = settings.home / "audit" / _PRIVATE
        keys.make(path, path.with_name(_PUBLIC))
    return keys.private_key(path)


def trusted_key(settings: Settings, given: Path | None) -> Ed25519PublicKey:
    """The key that checkpoints must be signed with: of the file `given`, or this factory's own."""
    if given is None:
        if settings.audit_key_file is not None or (settings.home / "audit" / _PRIVATE).exists():
            return signing_key(settings).public_key()
        given = settings.home / "audit" / _PUBLIC
        if not given.exists():
            raise KeyUnusable(
                "There is no key here to check the checkpoint with",
                untouched="Nothing was compared",
                todo="Name the public key of the factory that signed it: --key FILE (its audit/signing.pub)",
            )
    return keys.public_key(given)
