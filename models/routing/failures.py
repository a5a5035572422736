"""What a failure of a provider means: for this call, and for the account that failed.

Providers' libraries raise classes of their own; what they have in common is an HTTP status, the headers of
the response, and LangChain's exceptions as ancestors.
Decided from those, so that every provider is judged alike.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, cast

import httpx
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAuthenticationError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
)

from core.redaction import redact
from models.retry import OVERFLOW, TRANSIENT

Verdict = Literal["auth", "missing", "overflow", "busy", "spent", "unreachable", "broken", "refused"]
"""auth: the key is refused. missing: the account has no such model. overflow: the prompt is too long for it.
busy: too many requests (429). spent: its credit is used up. unreachable: nothing was sent. broken: a server
error, a timeout, half a stream, no JSON. refused: the same request will fail again anywhere."""

FREE: frozenset[Verdict] = frozenset({"auth", "missing", "overflow", "busy", "spent", "unreachable"})
"""Failures that cost nothing and say something about the account: the next one is asked at once."""

_MOST_WORDS = 500
_EXHAUSTED = ("insufficient_quota", "billing_hard_limit", "credit balance", "exceeded your current quota")
_NO_MODEL = ("model_not_found", "does not exist", "no such model", "is not found for api version")


@dataclass(frozen=True, slots=True)
class Failure:
    """One request that failed."""

    verdict: Verdict
    words: str
    """What the server said, short and without secrets."""
    retry_after: float | None = None
    """Seconds that the server wants to be left alone."""

    @property
    def free(self) -> bool:
        """Whether the provider charged nothing for it."""
        return self.verdict in FREE or self.verdict == "refused"


def failure_of(error: Exception, now: datetime) -> Failure:
    """Judge a broken exchange. `now` is the wall clock, for a Retry-After that is a date."""
    status = status_of(error)
    words = _words(error, status)
    after = retry_after(_headers(error), now)
    return Failure(_verdict(error, status, words.lower()), words, after)


def status_of(error: BaseException) -> int | None:
    """The HTTP status of a failure; None where there was no response."""
    if type(error).__name__ == "ClientPayloadError":
        # aiohttp's word for an answer that broke off (google-genai speaks through it if it is there): the 400
        # of its cause is not the provider's.
        return None
    for value in (getattr(error, "status_code", None), getattr(error, "code", None)):
        if isinstance(value, int) and 100 <= value < 600:
            return value
    cause = error.__cause__
    return status_of(cause) if cause is not None and cause is not error else None


def _verdict(error: Exception, status: int | None, words: str) -> Verdict:
    if isinstance(error, ContextOverflowError) or (status in (400, 413) and OVERFLOW.search(words)):
        return "overflow"
    if any(sign in words for sign in _EXHAUSTED) or status == 402:
        return "spent"
    if status in (401, 403) or isinstance(error, ModelAuthenticationError | ModelPermissionDeniedError):
        return "auth"
    if status == 404 or isinstance(error, ModelNotFoundError):
        return "missing"
    if status in (400, 422) and any(sign in words for sign in _NO_MODEL):
        return "missing"
    if status == 429 or isinstance(error, ModelRateLimitError):
        return "busy"
    if status is not None:
        return "broken" if status in TRANSIENT or status >= 500 else "refused"
    return "unreachable" if _never_sent(error) else "broken"


def _never_sent(error: BaseException) -> bool:
    """Whether not even a connection came about."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ConnectionRefusedError) or type(seen).__name__ in (
            "ConnectError",
            "ConnectTimeout",
        ):
            return True
        if isinstance(seen, httpx.ReadError | httpx.RemoteProtocolError | json.JSONDecodeError):
            return False
        seen = seen.__cause__ or seen.__context__
    return False


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that a server asks for, in seconds or as a date; None where it asks for nothing we can read."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = _number(text)
    if seconds is not None:
        return max(0.0, seconds)
    try:
        date = parsedate_to_datetime(text)
        return max(0.0, (date - now).total_seconds())
    except (TypeError, ValueError, OverflowError):  # no date, or one without a zone
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _headers(error: BaseException) -> Mapping[str, str]:
    response: Any = getattr(error, "response", None)
    headers: Any = getattr(response, "headers", None)
    if headers is None and error.__cause__ is not None:
        return _headers(error.__cause__)
    return cast("Mapping[str, str]", headers) if headers is not None else {}


def _words(error: Exception, status: int | None) -> str:
    text = " ".join(str(getattr(error, "error", "") or error).split())
    if status is not None and str(status) not in text[:40]:
        text = f"HTTP {status} {text}"
    # Masked before it is cut: half a key has no known shape.
    return redact(text)[:_MOST_WORDS] or type(error).__name__
