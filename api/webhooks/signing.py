"""Signatures as the Standard Webhooks specification has them, and secrets that lie encrypted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.errors import FactoryError
from core.settings import Settings
from governance.access.signing import Signer

_PREFIX: Final = "whsec_"
_NONCE: Final = 12


class SecretSealed(FactoryError):
    """The secret of a webhook was encrypted with another key."""

    http_status = 409


def new_secret() -> str:
    """A secret of 256 random bits, as receivers' libraries take it."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def headers(secret: str, message_id: str, seconds: int, body: bytes) -> dict[str, str]:
    """What a receiver needs to know who sent `body` and when (`seconds` since 1970)."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = hmac.new(key, f"{message_id}.{seconds}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


@dataclass(frozen=True, slots=True)
class Sealer:
    """Encrypts secrets for the database; its key comes of the one that signs sessions, which is not there."""

    _cipher: AESGCM

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With the key of these settings, made where there is none yet. Blocks. Raises KeyUnusable."""
        private = Signer.of(settings).key.private_bytes(
            serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
        )
        derive = HKDF(hashes.SHA256(), length=32, salt=None, info=b"factory webhook secrets")
        return cls(AESGCM(derive.derive(private)))

    def seal(self, secret: str, owner: str) -> bytes:
        """The secret of `owner`, encrypted; it opens for no other."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), owner.encode())

    def open(self, sealed: bytes, owner: str) -> str:
        """The secret; raises SecretSealed."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], owner.encode()).decode()
        except InvalidTag:
            raise SecretSealed(
                f"The secret of {owner} was encrypted with another key than this server has",
                untouched="Nothing was sent",
                todo="Give every server the same FACTORY_SESSION_KEY_FILE, or add the webhook anew",
            ) from None
