"""What a failure of a model's server means: try again, or not."""

import json
import random
import re
from contextlib import suppress
from typing import Literal

import httpx
from ollama import ResponseError
from pydantic import ValidationError

from core.json import is_object
from core.redaction import redact
from models.catalogue import Retry

Verdict = Literal["again", "missing", "overflow", "refused"]
"""again: it may pass. missing: the server has no such model. overflow: the prompt is too long for it.
refused: the same request will fail again."""

BROKEN: tuple[type[Exception], ...] = (
    ResponseError,
    httpx.HTTPError,
    OSError,
    # What the client raises for a line that is no JSON, or JSON of another shape.
    json.JSONDecodeError,
    ValidationError,
    ValueError,
    AttributeError,
    TypeError,
    KeyError,
)
"""Every way in which an exchange with the server breaks."""

OVERFLOW = re.compile(r"context[ _](length|size|window)|available context|prompt is too long", re.IGNORECASE)
_MESSAGE_CHARACTERS = 500  # of a server's error text that is worth keeping
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


def judge(error: Exception) -> Verdict:
    """What to do about a broken exchange."""
    if not isinstance(error, ResponseError):
        return "again"
    if error.status_code == 404:
        return "missing"
    if OVERFLOW.search(str(error.error)):
        return "overflow"
    if error.status_code in TRANSIENT or error.status_code < 0:  # below 0: an error line inside a stream
        return "again"
    return "refused"


def pause(attempt: int, retry: Retry, *, chance: random.Random | None = None) -> float:
    """Seconds to wait after the failed `attempt`, counted from 1: doubling, bounded, with jitter."""
    whole = min(retry.longest_seconds, retry.first_seconds * 2 ** (attempt - 1))
    return whole * (chance or random.SystemRandom()).uniform(0.5, 1)


def words(error: Exception) -> str:
    """An error in words that may be stored: short, without secrets."""
    text = _said(str(error.error)) if isinstance(error, ResponseError) else str(error)
    if isinstance(error, ResponseError) and error.status_code > 0:
        text = f"HTTP {error.status_code} {text}"
    return redact(text.strip()[:_MESSAGE_CHARACTERS]) or type(error).__name__


def _said(text: str) -> str:
    """What is said in an error; Ollama hands on its runner's as the JSON that it is."""
    with suppress(ValueError):
        told: object = json.loads(text)
        inner = told.get("error") if is_object(told) else None
        message = inner.get("message") if is_object(inner) else inner
        return message if isinstance(message, str) else text
    return text
