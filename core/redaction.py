"""Secrets are masked before anything is stored or logged."""

import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import overload
from urllib.parse import unquote, urlsplit

from core.folding import as_read
from core.json import JsonObject, JsonValue
from core.secret_shapes import MASK, masked

__all__ = ["MASK", "know", "redact", "redact_copy"]

_SHORTEST = 8  # a shorter value would mask ordinary words

_VARIABLE = re.compile(r"(?:^|_)(?:KEY|APIKEY|TOKEN|SECRET|PASSWORD|PASSWD|PGPASSWORD|CREDENTIALS?)(?:_|$)")
_PLACE = re.compile(r"(?:FILE|PATH|DIR)$")

_FIELD = re.compile(
    r"(?:.*[_\- ])?(?:password|passwd|passphrase|wachtwoord|รหัสผ่าน|secret|api_?key|apikey|access_?key"
    r"|secret_?key|private_?key|accountkey|token|authorization|credentials?|cookie|set-cookie)",
    re.IGNORECASE,
)

_known: set[str] = set()


def know(secret: str) -> None:
    """Mask this value from now on, wherever it appears; of a URL, its password."""
    if "://" in secret:
        password = urlsplit(secret).password
        if password:
            _known.update(text for text in (password, unquote(password)) if len(text) >= _SHORTEST)
    elif len(secret) >= _SHORTEST:
        _known.add(secret)


@lru_cache(maxsize=4096)
def _names_a_secret(variable: str) -> bool:
    name = variable.upper()
    return bool(_VARIABLE.search(name)) and not _PLACE.search(name)


_seen: tuple[object, set[str], list[str]] = (None, set(), [])
"""The variables and the known secrets that the values were last told from, and these."""


def _values() -> list[str]:
    # Looked at each time: a variable may be set after the first event was written. What is looked at is how
    # the interpreter keeps them, since reading each by its name costs more than all the rest of a redaction.
    global _seen
    variables: dict[bytes, bytes] | None = getattr(os.environ, "_data", None)
    before, known, values = _seen
    if variables is None or variables != before or _known != known:
        values = _told()
        _seen = (None if variables is None else dict(variables), set(_known), values)
    return values


def _told() -> list[str]:
    values = {
        value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST and _names_a_secret(name) and not value.startswith(("/", "./"))
    }
    # The longest first, so that a secret that contains another one leaves no rest.
    return sorted(values | _known, key=len, reverse=True)


def _text(text: str, values: list[str], copy: bool) -> str:
    bare = _masked(text, values, copy)
    if (plain := as_read(bare)) is not bare and (again := _masked(plain, values, copy)) != plain:
        return again  # a secret was hidden: how the rest was written is less worth keeping
    return bare


def _masked(text: str, values: list[str], copy: bool) -> str:
    for value in values:
        if value in text:
            text = text.replace(value, MASK)
    return masked(text, copy=copy)


def _name(name: str, values: list[str], copy: bool) -> str:
    return _text(name, values, copy) if any(value in name for value in values) else _shaped(name, copy)


@lru_cache(maxsize=4096)
def _shaped(name: str, copy: bool) -> str:
    return _text(name, [], copy)


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    return _FIELD.fullmatch(name) is not None


def _walk(value: JsonValue, values: list[str], *, secret: bool = False, copy: bool = False) -> JsonValue:
    if isinstance(value, str):
        return MASK if secret and value else _text(value, values, copy)
    if isinstance(value, Mapping):
        return {
            _name(str(name), values, copy): _walk(
                item, values, secret=secret or _is_secret(str(name)), copy=copy
            )
            for name, item in value.items()
        }
    if isinstance(value, Sequence):
        return [_walk(item, values, secret=secret, copy=copy) for item in value]
    return value


@overload
def redact(value: str) -> str: ...
@overload
def redact(value: JsonObject) -> JsonObject: ...
@overload
def redact(value: JsonValue) -> JsonValue: ...
def redact(value: JsonValue | JsonObject) -> JsonValue | JsonObject:
    """`value` with every secret replaced by `[redacted]`; the rest is unchanged.

    Secret are: values of variables that are named like one, what `know` was told, the strings below a
    field that is named like one, and what has the shape of a secret (core/secret_shapes.py), also where
    characters of no width or of another width hide it.
    """
    return _walk(value, _values())


@overload
def redact_copy(value: str) -> str: ...
@overload
def redact_copy(value: JsonObject) -> JsonObject: ...
@overload
def redact_copy(value: JsonValue) -> JsonValue: ...
def redact_copy(value: JsonValue | JsonObject) -> JsonValue | JsonObject:
    """The same for what only repeats what stands elsewhere, as logs, traces and memories do: without what
    somebody merely says is a password, a key or a token as well. A mask too many loses nothing there."""
    return _walk(value, _values(), copy=True)
