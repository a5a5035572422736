"""The JSON object in a model's reply: found, complete, and free of what cannot be stored.

Prose, fences and thoughts may stand around it. A draft that is followed by a cut-off object is no answer, and
neither is what happens to close inside a broken one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import ValidationError

from core.errors import FactoryError
from core.json import JsonObject, JsonValue
from teams.thinking import after_thinking

MAX_FAILURES = 500
"""Braces that begin nothing; beyond, a hostile reply would cost quadratic time."""


class ResultInvalid(FactoryError):
    """The reply does not hold what was asked for."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        """Sentences that a model can act on, one an error."""
        summary = (type(self).__doc__ or "").strip().rstrip(".")
        super().__init__(
            f"{summary}: {'; '.join(errors)}",
            untouched="Nothing was changed",
            todo="Ask for the whole object again, with these errors quoted",
        )


def last_object(text: str) -> JsonObject:
    """The last complete JSON object in a reply; raises `ResultInvalid` when none can be meant."""
    meant = after_thinking(text)
    if meant is None or not meant.strip():
        raise ResultInvalid(["the reply is empty, or all of it is thinking; answer with the JSON object"])
    found, broken = _scan(meant)
    if broken:
        raise ResultInvalid([f"the JSON object is broken or cut off: {broken}"])
    if found is None:
        raise ResultInvalid(["the reply holds no JSON object; answer with the JSON object and nothing else"])
    for string in _strings(found):
        if "\x00" in string or any("\ud800" <= character <= "\udfff" for character in string):
            raise ResultInvalid(["a text holds a NUL or half a surrogate pair; leave such characters out"])
    return found


def sentences(invalid: ValidationError) -> list[str]:
    """What pydantic found, one sentence a field, in words a model can act on."""
    found: list[str] = []
    for error in invalid.errors(include_url=False):
        field = ".".join(str(part) for part in error["loc"])
        if error["type"] == "missing":
            found.append(f"{field}: is missing; every field is required")
        elif error["type"] == "extra_forbidden":
            found.append(f"{field}: is no field of this object; remove it")
        else:
            got = json.dumps(error["input"], ensure_ascii=False, default=str)
            found.append(f"{field}: {error['msg']} (got {got[:120]})")
    return found


def _scan(text: str) -> tuple[JsonObject | None, str]:
    """The last object, and what is wrong with one that was begun after it ("" when none was)."""
    decoder = json.JSONDecoder(object_pairs_hook=_no_twins, parse_constant=_no_constants)
    found: JsonObject | None = None
    broken = ""
    failures = 0
    at = text.find("{")
    while at >= 0 and failures <= MAX_FAILURES:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            # A brace in prose ("the set {a, b}") begins nothing; one before a quoted key was meant.
            if not broken and _opens_object(text, at):
                broken = _why(error, text)
            failures += 1
            at = text.find("{", at + 1)
            continue
        # What closes inside a broken object is a part of it; what begins a line is a new attempt.
        if not broken or text[at - 1 : at] in ("", "\n"):
            found, broken = value, ""
        at = text.find("{", end)
    if failures > MAX_FAILURES:
        return None, broken or "too many braces that begin nothing"
    return found, broken


def _opens_object(text: str, at: int) -> bool:
    return text[at + 1 : at + 200].lstrip().startswith('"')


def _why(error: Exception, text: str) -> str:
    if isinstance(error, json.JSONDecodeError):
        near = text[max(0, error.pos - 30) : error.pos + 10].replace("\n", "\\n")
        return f"{error.msg} near …{near}…"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)


def _no_twins(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    found: JsonObject = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key} stands twice in one object")
        found[key] = value
    return found


def _no_constants(name: str) -> JsonValue:
    raise ValueError(f"{name} is no JSON number")


def _strings(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
