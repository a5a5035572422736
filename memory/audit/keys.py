"""The key that signs checkpoints of the audit: made on first use, outside the database, for its owner's eyes.

Who can write to the database and read this key can make up a checkpoint too; so a checkpoint is kept where
neither is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.errors import BadInput
from core.settings import Settings

_PRIVATE: Final = "signing.key"
_PUBLIC: Final = "signing.pub"
_LARGEST: Final = 10_000  # bytes of a file that holds a key


class KeyUnusable(BadInput):
    """A key of the audit cannot be used."""


def signing_key(settings: Settings) -> Ed25519PrivateKey:
    """The key that this factory signs with, made where there is none yet. Raises KeyUnusable."""
    path = settings.audit_key_file
    if path is None:
        path = settings.home / "audit" / _PRIVATE
        _make(path)
    text = _read(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyUnusable(
            f"Others may read the signing key {path}",
            untouched="Nothing was signed",
            todo=f"chmod 600 {path}; if somebody did read it, take a new key and keep old checkpoints apart",
        )
    key = _parsed(path, lambda: serialization.load_pem_private_key(text, None))
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path} holds no private Ed25519 key", untouched="Nothing was signed")
    return key


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
    text = _read(given)
    key = _parsed(given, lambda: serialization.load_pem_public_key(text))
    if not isinstance(key, Ed25519PublicKey):
        raise KeyUnusable(f"{given} holds no public Ed25519 key", untouched="Nothing was compared")
    return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except OSError as error:
        raise KeyUnusable(
            f"The key {path} cannot be read: {error.strerror}", todo="See that the file is there and yours"
        ) from error


def _parsed(path: Path, parse: Callable[[], object]) -> object:
    try:
        return parse()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # What the library says may quote the file.
        raise KeyUnusable(
            f"{path} holds no key in PEM form without a passphrase",
            todo="Make one with: openssl genpkey -algorithm ed25519",
        ) from None


def _make(path: Path) -> None:
    """Make the key where there is none. Whole or not at all, also with two processes at it."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    part = path.with_name(f"{path.name}.{os.getpid()}")
    _write(part, private, 0o600)
    try:
        # Unlike a rename, a link does not take the place of a key that another process made meanwhile.
        with suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink()
    mine = serialization.load_pem_private_key(path.read_bytes(), None)
    public = mine.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    part = path.with_name(f"{_PUBLIC}.{os.getpid()}")
    _write(part, public, 0o644)
    part.replace(path.with_name(_PUBLIC))


def _write(path: Path, content: bytes, mode: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(file, "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
