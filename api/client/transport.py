"""How the client's requests are sent, and what comes back where they fail."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import httpx

from core.errors import BadInput, FactoryError
from core.json import is_object
from core.redaction import know

Content = bytes | AsyncIterator[bytes]
Received = httpx.Response
"""What came back as it is: read it with `aiter_bytes`, `aiter_lines`."""

_PROBLEM: Final = "application/problem+json"
_CONNECT: Final = 5.0
_ANSWER: Final = 60.0
_OURS: Final = frozenset({400, 401, 403, 404, 405, 409, 412, 413, 416, 422})
"""Statuses that say that the request was wrong, not the service."""


class AddressUnusable(BadInput):
    """That is no address of a server."""


class ServerAway(FactoryError):
    """The server does not answer."""


class ServerDiffers(FactoryError):
    """What answers is no factory, or one of another version."""


class ServerRefused(FactoryError):
    """The server did not do what was asked."""

    def __init__(self, status: int, told: Mapping[str, Any]) -> None:
        super().__init__(
            str(told.get("detail") or told.get("title") or f"The server answered {status}"),
            untouched=str(told.get("untouched") or ""),
            todo=str(told.get("todo") or ""),
        )
        self.status = status
        kind = str(told.get("type") or "")
        self.kind = kind.removeprefix("urn:factory:")
        """The error's stable code, such as `already-decided`."""
        self.exit_code = 2 if status in _OURS else 4  # type: ignore[misc]
        self.code = self.kind or "server-refused"  # type: ignore[misc]


class Transport:
    """Sends requests to one service."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise AddressUnusable(
                f"{url[:80]!a} is no address of a server",
                untouched="Nothing was sent",
                todo="Write it as http://127.0.0.1:8000, without a user or a password",
            )
        if token:
            know(token)
        if not token.isascii() or not token.isprintable():
            raise AddressUnusable("The token holds characters that no token has", todo="Copy it once more")
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={**headers, "User-Agent": f"factory/{_mine()}"},
            timeout=httpx.Timeout(_ANSWER, connect=_CONNECT),
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str | None] | None = None,
        json: Any = None,
        content: Content | None = None,
    ) -> Any:
        """The JSON that an operation answers with; None where it has none.

        Raises ServerAway, ServerDiffers, ServerRefused.
        """
        try:
            answer = await self._http.request(
                method, path, params=_given(params), headers=_given(headers), json=json, content=content
            )
        except httpx.HTTPError as error:
            raise self._away(error) from error
        await self._check(answer)
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise await self._differs("Its answer is no JSON") from None

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str | None] | None = None,
        content: Content | None = None,
        json: Any = None,
    ) -> AsyncGenerator[Received]:
        """An answer that is read as it comes. Raises ServerAway, ServerDiffers, ServerRefused."""
        try:
            async with self._http.stream(
                method, path, params=_given(params), headers=_given(headers), json=json, content=content,
                timeout=httpx.Timeout(None, connect=_CONNECT),
            ) as answer:  # fmt: skip
                if answer.is_error:
                    await answer.aread()
                await self._check(answer)
                yield answer
        except httpx.HTTPError as error:
            raise self._away(error) from error

    async def _check(self, answer: httpx.Response) -> None:
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if answer.is_success or answer.status_code == 304:
            return
        told: Any = None
        if kind == _PROBLEM:
            try:
                told = answer.json()
            except ValueError:
                told = None
        if not is_object(told):
            raise await self._differs(f"It answered {answer.status_code}, and not as a factory does")
        if told.get("type") == "about:blank" and answer.status_code in (404, 405):
            raise await self._differs("It does not know this operation")
        raise ServerRefused(answer.status_code, told)

    def _away(self, error: httpx.HTTPError) -> ServerAway:
        why = str(error) or type(error).__name__
        return ServerAway(
            f"The server at {self.url} does not answer: {why}",
            untouched="What it has begun goes on there",
            todo="See that it runs (`factory serve`), and that --server or FACTORY_SERVER names it",
        )

    async def _differs(self, why: str) -> ServerDiffers:
        theirs = ""
        try:
            told = (await self._http.get("/openapi.json")).json()
            if told["info"]["title"] == "Factory":
                theirs = str(told["info"]["version"])[:40]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            pass
        if not theirs:
            return ServerDiffers(
                f"What answers at {self.url} is no factory. {why}",
                untouched="Nothing was done",
                todo="Check the address in --server or FACTORY_SERVER",
            )
        return ServerDiffers(
            f"The server at {self.url} is a factory of version {theirs}, and this is {_mine()}. {why}",
            untouched="Nothing was done",
            todo="Use the same version on both sides",
        )


def part(name: object) -> str:
    """A name as it stands in a path."""
    quoted = quote(str(name), safe="")
    return quoted.replace(".", "%2E") if not quoted.strip(".") else quoted


def parts(name: object) -> str:
    """A name with slashes, as it stands in a path."""
    segments = (quote(segment, safe="") for segment in str(name).split("/"))
    # A segment of dots would lead elsewhere before it is sent.
    return "/".join(one.replace(".", "%2E") if not one.strip(".") else one for one in segments)


def _given(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (values or {}).items() if value is not None}


def _mine() -> str:
    try:
        return version("factory-ai")
    except PackageNotFoundError:
        return "0"
