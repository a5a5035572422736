"""Private keys (Ed25519, PEM) that the factory makes on first use, in a file for its owner's eyes."""

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

_LARGEST: Final = 10_000  # bytes of a file that holds a key


class KeyUnusable(BadInput):
    """A key cannot be used."""


def private_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a file that only its owner may read. Raises KeyUnusable."""
    text = _read(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyUnusable(
            f"Others may read the signing key {path}",
            untouched="Nothing was signed",
            todo=f"chmod 600 {path}; if somebody did read it, take a new key and trust this one no more",
        )
    key = _parsed(path, lambda: serialization.load_pem_private_key(text, None))
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path} holds no private Ed25519 key", untouched="Nothing was signed")
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """The public key in a file. Raises KeyUnusable."""
    text = _read(path)
    key = _parsed(path, lambda: serialization.load_pem_public_key(text))
    if not isinstance(key, Ed25519PublicKey):
        raise KeyUnusable(f"{path} holds no public Ed25519 key", untouched="Nothing was compared")
    return key


def make(path: Path, public: Path) -> None:
    """Make a pair of keys where there is none. Whole or not at all, also with two processes at it."""
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
    text = mine.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    part = public.with_name(f"{public.name}.{os.getpid()}")
    _write(part, text, 0o644)
    part.replace(public)


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


def _write(path: Path, content: bytes, mode: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(file, "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
