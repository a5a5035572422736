"""Values of graphs as JSON: messages as LangGraph's clients read them; nothing fails to be written."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

import orjson
from langgraph.types import Interrupt, Send
from pydantic import BaseModel

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z
_NUL = "\\u0000"


def _known(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, Interrupt):
        return {"value": value.value, "id": value.id}
    if isinstance(value, Send):
        return {"node": value.node, "arg": value.arg}
    if isinstance(value, tuple) and hasattr(cast(object, value), "_asdict"):
        return cast(Any, value)._asdict()
    if isinstance(value, set | frozenset | deque | tuple):
        return list(cast("set[Any]", value))
    if isinstance(value, Mapping):
        return dict(cast("Mapping[Any, Any]", value))
    if isinstance(value, BaseException):
        return {"error": type(value).__name__, "message": str(value)}
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    return str(value)


def text_of(value: object) -> str:
    """The JSON text of any value; what has no JSON form is written as its text."""
    try:
        text = orjson.dumps(value, default=_known, option=_OPTIONS).decode()
    except (orjson.JSONEncodeError, UnicodeError):  # a lone surrogate, a number of more than 64 bits
        text = json.dumps(value, default=_known, skipkeys=True)
    # Postgres has no place for it, and no client misses it.
    return text.replace(_NUL, "") if _NUL in text else text


def plain(value: object) -> Any:
    """The value as JSON has it: dicts, lists, texts, numbers."""
    return orjson.loads(text_of(value))


def size_of(value: object) -> int:
    """Bytes of the value's JSON text."""
    return len(text_of(value).encode())
