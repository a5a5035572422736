"""Signed checkpoints: where every chain stood at a moment, in a file that is kept outside the database.

A chain proves that nothing inside it was changed, but whoever owns the database can write another whole
chain and its head. A checkpoint fixes the heads: a Merkle root over all of them, signed. Every later state
must lead through each of these points.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core import audit, clock
from core.audit import Anchor, AuditReport
from core.database import Database
from core.errors import FactoryError
from core.incarnation import pinned
from core.json import JsonObject, canonical, is_array, is_object

_WHAT: Final = "factory audit checkpoint"
_VERSION: Final = 1
_LARGEST: Final = 500_000_000  # bytes: three million runs


class CheckpointInvalid(FactoryError):
    """The checkpoint is not one that was signed with the trusted key."""

    http_status = 422


class ChainBroken(FactoryError):
    """A chain is broken, so that nothing was signed or handed on."""

    http_status = 409


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where every chain stood, and who says so."""

    at: str
    """When, ISO 8601 in UTC, by the clock of the machine that signed."""
    heads: Mapping[str, Anchor]
    """Run → its last event then."""
    root: str
    """The Merkle root over the heads, in hex. Short enough to be written down or published."""
    key: str
    """The public key that it is signed with, in hex."""
    signature: str

    def text(self) -> str:
        """The file."""
        told: JsonObject = {
            "what": _WHAT,
            "version": _VERSION,
            "at": self.at,
            "root": self.root,
            "key": self.key,
            "signature": self.signature,
        }
        runs = ",\n  ".join(canonical([run, *head]) for run, head in sorted(self.heads.items()))
        return json.dumps(told, ensure_ascii=False, indent=1)[:-2] + f',\n "runs": [\n  {runs}\n ]\n}}\n'


def merkle_root(heads: Mapping[str, Anchor]) -> str:
    """The root over heads in the order of their runs, in hex.

    A leaf is sha256(0x00, canonical JSON of [run, seq, hash]); a node sha256(0x01, left, right); an odd one
    is handed up as it is.
    """
    level = [sha256(b"\0" + canonical([run, *head]).encode()).digest() for run, head in sorted(heads.items())]
    if not level:
        return sha256(b"").hexdigest()
    while len(level) > 1:
        paired = [sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(level) - len(level) % 2 :]
    return level[0].hex()


async def make(
    db: Database, key: Ed25519PrivateKey, earlier: Checkpoint | None = None
) -> tuple[Checkpoint, AuditReport]:
    """Verify all chains and sign where they stand.

    Raises ChainBroken where one is not whole, or does not lead through where it stood at `earlier`.
    """
    report = await proven(db, earlier.heads if earlier else {})
    heads = {run: head for run, head in report.heads.items() if head.seq > 0}
    at, root = clock.now().isoformat(), merkle_root(heads)
    public = key.public_key().public_bytes_raw().hex()
    signature = key.sign(_signed(at, root, len(heads))).hex()
    return Checkpoint(at, heads, root, public, signature), report


async def proven(db: Database, anchors: Mapping[str, Anchor]) -> AuditReport:
    """Where all chains stand, each of them whole and on the disk. Raises ChainBroken, ServerRestarted."""
    # What leaves the database must survive the server: events of a run under way may not be on its disk yet.
    async with db.pool.connection() as connection:
        with pinned(connection):
            report = await audit.verify(db, anchors=anchors)
            await audit.flush(db)
    if report.broken is not None:
        broken = report.broken
        raise ChainBroken(
            f"The chain of {broken.run_id} is broken at event {broken.seq}: {broken.why}",
            untouched="Nothing was signed or handed on, and no file was written",
            todo="See: factory audit verify",
        )
    return report


def read(path: Path, trusted: Ed25519PublicKey) -> Checkpoint:
    """A checkpoint that `trusted` signed. Raises CheckpointInvalid, which says what is wrong with it."""
    checkpoint = _parsed(path)
    if checkpoint.key != trusted.public_bytes_raw().hex():
        raise _invalid(
            f"{path} was signed with the key {checkpoint.key[:16]}…, and the trusted one is "
            f"{trusted.public_bytes_raw().hex()[:16]}…",
            "Use the checkpoint of this factory, or name the key of the other one: --key FILE",
        )
    if merkle_root(checkpoint.heads) != checkpoint.root:
        raise _invalid(f"The runs in {path} are not those that were signed: it was altered")
    try:
        trusted.verify(
            bytes.fromhex(checkpoint.signature),
            _signed(checkpoint.at, checkpoint.root, len(checkpoint.heads)),
        )
    except InvalidSignature:
        raise _invalid(f"The signature of {path} does not fit: it was forged or altered") from None
    return checkpoint


def earlier(path: Path, trusted: Ed25519PublicKey) -> Checkpoint | None:
    """The checkpoint that is in the place of a new one, if any. Raises CheckpointInvalid."""
    return read(path, trusted) if path.exists() else None


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Put the checkpoint in the place of `path`, whole or not at all. Raises OSError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("x", encoding="utf-8") as file:
            file.write(checkpoint.text())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _signed(at: str, root: str, runs: int) -> bytes:
    return canonical({"what": _WHAT, "version": _VERSION, "at": at, "root": root, "runs": runs}).encode()


def _invalid(
    what: str, todo: str = "Take an earlier copy of it from where you keep them"
) -> CheckpointInvalid:
    return CheckpointInvalid(what, untouched="Nothing was compared", todo=todo)


def _parsed(path: Path) -> Checkpoint:
    try:
        if path.stat().st_size > _LARGEST:
            raise _invalid(f"{path} is too big to be a checkpoint")
        told: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _invalid(f"{path} cannot be read: {error.strerror}", "See that the file is there") from error
    except (ValueError, RecursionError):
        raise _invalid(f"{path} is no checkpoint of an audit") from None
    if not is_object(told) or told.get("what") != _WHAT:
        raise _invalid(f"{path} is no checkpoint of an audit")
    if told.get("version") != _VERSION:
        raise _invalid(
            f"{path} is a checkpoint of version {str(told.get('version'))[:20]}, not {_VERSION}",
            "Use the version of the factory that wrote it",
        )
    fields = [told.get(name) for name in ("at", "root", "key", "signature")]
    runs: Any = told.get("runs")
    if not all(isinstance(field, str) for field in fields) or not is_array(runs):
        raise _invalid(f"{path} was altered: a field is missing")
    at, root, key, signature = map(str, fields)
    heads = {run: head for run, head in map(_head, runs) if head.seq > 0}
    if len(heads) != len(runs) or not _is_hex(signature):
        raise _invalid(f"{path} was altered: its list of runs or its signature cannot be read")
    return Checkpoint(at, heads, root, key, signature)


def _head(told: object) -> tuple[str, Anchor]:
    """A run of the file; one without events where it cannot be read."""
    match told:
        case [str(run), int(seq), str(digest)]:
            return run, Anchor(seq, digest)
        case _:
            return "", Anchor(0, "")


def _is_hex(text: str) -> bool:
    try:
        bytes.fromhex(text)
    except ValueError:
        return False
    return True
