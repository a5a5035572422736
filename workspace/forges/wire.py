"""One request to a forge's API at a time: with the token in a header, retries where they are safe, and every
failure as an error that a person can act on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast
from urllib.parse import urlsplit

import httpx

from core.redaction import know, redact
from workspace.forges.errors import (
    ForgeError,
    ForgeForbidden,
    ForgeNotFound,
    ForgeRefused,
    ForgeUnauthorized,
    ForgeUnavailable,
    RateLimited,
)

_LARGEST: Final = 20_000_000
Done = TypeVar("Done")
_LATER: Final = "The branch stays where it is; go on with: factory resume RUN"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a forge is waited for."""

    attempts: int = 4
    first_seconds: float = 1.0
    """Before the second attempt; doubled before each further one."""
    longest_seconds: float = 30.0
    """The longest pause, also where the forge asks for a longer one."""
    connect_seconds: float = 10.0
    answer_seconds: float = 30.0


class Wire:
    """A connection to one API. Redirects are not followed: the token goes to the address that was given."""

    def __init__(
        self, endpoint: str, headers: Mapping[str, str], *, token: str | None, patience: Patience
    ) -> None:
        if token:
            know(token)
        parts = urlsplit(endpoint)
        self.host = parts.netloc
        self._patience = patience
        self._http = httpx.AsyncClient(
            base_url=endpoint.rstrip("/") + "/",
            headers={"User-Agent": "factory", **headers},
            timeout=httpx.Timeout(patience.answer_seconds, connect=patience.connect_seconds),
            follow_redirects=False,
            trust_env=parts.hostname not in {"localhost", "127.0.0.1", "::1"},
            verify=parts.scheme == "https",
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, query: Mapping[str, str | int] | None = None) -> Any:
        """The answer to a question. Who asks repeats it with `patiently`."""
        return await self._once("GET", path, query=query)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change something, once: who repeats it must first look whether it was done."""
        return await self._once("POST", path, body=body)

    async def patiently(self, attempt: Callable[[], Awaitable[Done]]) -> Done:
        """Repeat what is safe to repeat while the forge is unavailable or busy."""
        patience, pause = self._patience, self._patience.first_seconds
        for left in range(patience.attempts - 1, -1, -1):
            try:
                return await attempt()
            except (ForgeUnavailable, RateLimited) as failure:
                if not left or failure.wait > patience.longest_seconds:
                    raise
                await asyncio.sleep(min(max(pause, failure.wait), patience.longest_seconds))
                pause *= 2
        raise AssertionError("unreachable")

    async def _once(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            response = await self._http.request(method, path.lstrip("/"), params=query, json=body)
        except httpx.TimeoutException:
            raise ForgeUnavailable(f"{self.host} did not answer in time", todo=_LATER) from None
        except httpx.HTTPError as error:
            raise ForgeUnavailable(
                f"{self.host} cannot be reached: {redact(str(error)) or type(error).__name__}", todo=_LATER
            ) from None
        if not response.is_success:
            raise _failure(self.host, method, response)
        if len(response.content) > _LARGEST:
            raise ForgeUnavailable(f"{self.host} answered with {len(response.content)} bytes")
        try:
            return response.json()
        except (ValueError, RecursionError):
            raise ForgeRefused(
                f"{self.host} answered with something that is no JSON", todo="Look at api in project.toml"
            ) from None


def _failure(host: str, method: str, response: httpx.Response) -> ForgeError:
    status = response.status_code
    said = _said(response)
    what = f"{host} answered {status} to {method} {response.request.url.path}{': ' if said else ''}{said}"
    if status == 429 or (status == 403 and _is_limit(response)):
        limited = RateLimited(f"{host} takes no more requests for now ({status})", todo=_LATER)
        limited.wait = _wait(response)
        return limited
    if status == 401:
        return ForgeUnauthorized(what, todo="Give a valid token where token_env says, then resume the run")
    if status == 403:
        return ForgeForbidden(
            what, todo="Give the token the right to read the repository and open pull requests"
        )
    if status == 404:
        return ForgeNotFound(
            what, todo="Correct url, repository or api in project.toml, or give a token that may see it"
        )
    if status >= 500:
        return ForgeUnavailable(what, todo=_LATER)
    if 300 <= status < 400:
        return ForgeRefused(
            f"{host} answered {status}: it has moved, and the token is not sent elsewhere",
            todo="Correct url, repository or api in project.toml",
        )
    return ForgeRefused(what, todo="Correct what the forge names, then resume the run")


def _is_limit(response: httpx.Response) -> bool:
    return response.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in response.headers


def _wait(response: httpx.Response) -> float:
    told = response.headers.get("retry-after", "")
    return float(told) if told.isdecimal() and len(told) < 8 else 0.0


def _said(response: httpx.Response) -> str:
    """What the forge says went wrong, as one line without secrets and without escapes."""
    try:
        value: Any = response.json()
    except (ValueError, RecursionError):
        return ""
    if not isinstance(value, dict):
        return ""
    told = cast(dict[str, Any], value)
    parts = [told.get(name) for name in ("message", "error", "error_description", "errors")]
    text = "; ".join(
        part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in parts if part
    )
    return redact(" ".join("".join(c if c.isprintable() else " " for c in text).split())[:500])
