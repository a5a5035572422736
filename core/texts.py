"""Texts beside the event log: the chain holds their salted hash, so that forgetting one breaks nothing.

A record can never change. What a person may want forgotten (a brief, a result, a file) is therefore kept
apart from it, in `event_texts`, and the record names it by `sha256(salt, newline, body)`. The salt is drawn
by chance and goes with the text: the hash that stays in the chain cannot be guessed back, and two equal texts
do not show that they are equal.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from core.errors import BadInput
from core.json import JsonObject, JsonValue, canonical, is_object
from core.redaction import redact

FIELD = "texts"
"""Where a payload names its texts: `{name: {"digest": …, "chars": …}}`."""

FORGOTTEN = "text.forgotten"
"""The kind of event that says which text was forgotten, and the digest of what is left of it."""

MARK = "[forgotten]"
"""What stands in the place of a piece that was cut out; `factory.forget_text` puts it there."""

LARGEST_TEXT = 16_000_000  # bytes of one body


class TextTooBig(BadInput):
    """A text is too big to be kept in the audit."""


State = Literal["whole", "cut", "forgotten", "missing", "altered"]
"""whole: as it was written; cut: pieces were forgotten; forgotten: all of it; missing and altered: the
database does not hold what the chain says, which `factory audit verify` reports."""

Place = tuple[int, str]
"""Which text of a run: the position of its event, and its name there."""


def text_digest(salt: str, body: str) -> str:
    """The hash of a text; `factory.text_digest` computes the same in SQL."""
    return sha256(f"{salt}\n{body}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Sealed:
    """A text that is still to be written."""

    name: str
    salt: str
    body: str
    """Canonical JSON, secrets masked."""

    @property
    def digest(self) -> str:
        return text_digest(self.salt, self.body)


@dataclass(frozen=True, slots=True)
class KeptText:
    """A text as the database holds it, held against the chain."""

    name: str
    state: State
    value: JsonValue
    """None where nothing of it is there, or what is there is not what the chain says."""


def seal(texts: Mapping[str, JsonValue]) -> list[Sealed]:
    """Mask the secrets of texts and draw their salts. Raises TextTooBig."""
    sealed = [Sealed(name, secrets.token_hex(16), canonical(redact(texts[name]))) for name in sorted(texts)]
    for text in sealed:
        if len(text.body.encode()) > LARGEST_TEXT:
            raise TextTooBig(
                f"The text {text.name} has {len(text.body)} characters; {LARGEST_TEXT} bytes fit",
                untouched="Its event was not written",
            )
    return sealed


def named(sealed: Iterable[Sealed]) -> JsonObject:
    """What a payload says of its texts."""
    return {
        text.name: {
            "digest": text.digest,
            "chars": len(text.body),
            **({"list": True} if text.body.startswith("[") else {}),
        }
        for text in sealed
    }


def announced(payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts that a payload names, with their digests; what is malformed is passed over."""
    texts = payload.get(FIELD)
    if is_object(texts):
        for name, told in texts.items():
            if is_object(told) and isinstance(told.get("digest"), str):
                yield name, told["digest"]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a chain says that is left of one of its texts."""

    digest: str | None
    """None where all of it is forgotten."""
    by: int | None = None
    """The position of the event that forgot of it last; None while it is whole."""


class Expectations:
    """What a run's chain, walked in order, says of its texts."""

    def __init__(self) -> None:
        self.texts: dict[Place, Expected] = {}

    def take(self, seq: int, kind: str, payload: Mapping[str, Any]) -> None:
        """Take in the next event."""
        for name, digest in announced(payload):
            self.texts[(seq, name)] = Expected(digest)
        if kind == FORGOTTEN:
            of, name, left = payload.get("seq"), payload.get("name"), payload.get("digest")
            if isinstance(of, int) and isinstance(name, str) and (of, name) in self.texts:
                self.texts[(of, name)] = Expected(left if isinstance(left, str) else None, seq)


def held_against(name: str, expected: Expected, row: Mapping[str, Any] | None) -> KeptText:
    """What a row of `event_texts` (salt, body, forgotten_by) is, by what the chain says."""
    if expected.digest is None:
        gone = row is None or row["body"] is None
        return KeptText(name, "forgotten" if gone else "altered", None)
    if row is None or row["body"] is None:
        return KeptText(name, "missing", None)
    if text_digest(row["salt"], row["body"]) != expected.digest or row["forgotten_by"] != expected.by:
        return KeptText(name, "altered", None)
    return KeptText(name, "whole" if expected.by is None else "cut", json.loads(row["body"]))
