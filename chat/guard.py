"""The door of the chat: who comes in, from where, to what, and with how much.

Chainlit serves more than is wanted here (shared conversations without a sign-in, MCP servers of the browser's
choosing, OAuth), answers sockets of any origin, and believes its cookie until it expires. So all of it stands
behind this: a list of what may be reached, the origin held against the host, and whom the cookie names looked
up anew for each request.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chat.appearance import COOKIE, MOST_UPLOAD_MB
from chat.assets import Assets
from chat.calling import calling
from chat.sessions import LASTS, Sessions
from chat.wire import ROOT
from governance.access import NotSignedIn, Principal

_UUID: Final = r"[0-9A-Za-z-]{1,64}"
_OPEN: Final = re.compile(
    rf"""GET\ /(thread/{_UUID}/?|element/[^/]{{1,80}}|login|login/callback)?
       | GET\ /(assets|public)/.+
       | GET\ /(favicon|logo|avatars/[^/]+|auth/config|project/translations|user)
       | POST\ /(login|logout)
       | POST\ /set-session-cookie
       """,
    re.VERBOSE,
)
"""What is reached without being signed in: the page, which holds nothing of anybody's, and the way in."""
_SIGNED_IN: Final = re.compile(
    rf"""GET\ /project/settings
       | POST\ /project/(threads|action|file)
       | GET\ /project/thread/{_UUID}(/element/[^/]{{1,80}})?
       | (PUT|DELETE)\ /project/thread
       | GET\ /project/file/{_UUID}
       | (PUT|DELETE)\ /feedback
       | GET\ /(artifacts|files|tables|traces)/.+
       """,
    re.VERBOSE,
)
_PAGES: Final = ("/artifacts/", "/files/", "/tables/", "/traces/")
_SOCKET: Final = "/ws/socket.io"
_MOST_FORM: Final = 20_000
"""Bytes of a sign-in."""
_MOST_BODY: Final = 1_000_000
"""Bytes of a request that is no upload."""

_MOST_DRAINED: Final = 100_000_000
"""Bytes of a refused request that are taken and thrown away."""

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        # The page's cards are compiled in the browser, which is why it may evaluate.
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
}
"""Nothing is asked of another host, whatever a requirement or a model has written."""

Pages = Callable[[Scope, Principal, str], Awaitable[Response]]
"""Answers a path below one of `_PAGES`."""


@dataclass(frozen=True)
class Guard:
    """An ASGI application around Chainlit's."""

    app: ASGIApp
    sessions: Sessions
    pages: Pages
    assets: Assets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse, or let through."""
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        person = await self._person(scope)
        if person is None or not _same_origin(scope) or not _path(scope).startswith(_SOCKET):
            await receive()
            await send({"type": "websocket.close", "code": 4403})
            return
        calling.set(person)  # for as long as the connection's own task lives
        await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = _path(scope), str(scope["method"])
        token = _token(scope) if method == "GET" and path == "/" else None
        if token is not None:
            response = await self._sign_in(token)
            await response(scope, receive, _dressed(send))
            return
        person = await self._person(scope)
        if (method, path) == ("POST", "/login") and _same_origin(scope):
            await self._sign_in_by_name(scope, receive, _dressed(send))
            return
        refused = self._refused(scope, f"{'GET' if method == 'HEAD' else method} {path}", person)
        if refused is not None:
            await _drain(receive)
            await refused(scope, receive, _dressed(send))
            return
        if path.startswith("/assets/"):
            accepted = Headers(scope=scope).get("accept-encoding", "")
            asset = await self.assets.answer(path.removeprefix("/assets/"), accepted)
            await asset(scope, receive, _dressed(send))
            return
        if person is None:
            _forget(scope)
        mark = calling.set(person)
        try:
            if person is not None and path.startswith(_PAGES):
                page = await self.pages(scope, person, path)
                await page(scope, receive, _dressed(send))
            else:
                await self.app(scope, _measured(receive, _limit(path)), _dressed(send))
        finally:
            calling.reset(mark)

    def _refused(self, scope: Scope, wanted: str, person: Principal | None) -> Response | None:
        path = _path(scope)
        socket = path.startswith(_SOCKET)
        if not (socket or _OPEN.fullmatch(wanted) or _SIGNED_IN.fullmatch(wanted)):
            return _problem(404, "There is nothing at this address")
        if person is None and (socket or not _OPEN.fullmatch(wanted)):
            return _problem(401, "Nobody is signed in. Open the link that the server printed")
        if not wanted.startswith("GET") and not _same_origin(scope):
            return _problem(403, "The request comes from another site")
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > _limit(path):
            return _problem(413, f"That is too much: at most {_limit(path) // 1_000_000} MB")
        return None

    async def _person(self, scope: Scope) -> Principal | None:
        cookie = cookie_of(Headers(scope=scope).get("cookie", ""))
        return await self.sessions.person(cookie) if cookie else None

    async def _sign_in_by_name(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            name, secret = await _form(scope, receive)
            response: Response = JSONResponse({"success": True})
            self._hand_out(response, await self.sessions.sign_in_by_name(name.strip(), secret.strip()))
        except (NotSignedIn, HTTPException, ClientDisconnect):
            response = _problem(401, "credentialssignin")
        await response(scope, receive, send)

    def _hand_out(self, response: Response, cookie: str) -> None:
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="lax", max_age=LASTS)

    async def _sign_in(self, token: str) -> Response:
        try:
            cookie = await self.sessions.sign_in(token)
        except NotSignedIn:
            return HTMLResponse(
                "<!doctype html><title>Factory</title><p>That link is not valid any more: the server prints "
                f'a new one when it starts. <a href="{ROOT}/login">Sign in with a token</a></p>',
                status_code=401,
            )
        response = RedirectResponse(f"{ROOT}/", status_code=303)
        self._hand_out(response, cookie)
        return response


async def _form(scope: Scope, receive: Receive) -> tuple[str, str]:
    request = Request(scope, _measured(receive, _MOST_FORM))
    async with request.form(max_files=0, max_fields=10, max_part_size=_MOST_FORM) as form:
        return str(form.get("username", "")), str(form.get("password", ""))


def _path(scope: Scope) -> str:
    root = str(scope.get("root_path", ""))
    return str(scope["path"]).removeprefix(root) or "/"


def _token(scope: Scope) -> str | None:
    given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token")
    return given[0] if given else None


def cookie_of(header: str) -> str:
    """The chat's cookie in a request's header; empty where there is none."""
    try:
        cookies = SimpleCookie(header)
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _forget(scope: Scope) -> None:
    """A cookie that names nobody any more must not be believed further in."""
    headers = [pair for pair in scope["headers"] if pair[0] not in (b"cookie", b"authorization")]
    scope["headers"] = headers


def _same_origin(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    return urlsplit(origin).netloc == headers.get("host", "")


def _limit(path: str) -> int:
    return (MOST_UPLOAD_MB + 1) * 1_000_000 if path == "/project/file" else _MOST_BODY


def _problem(status: int, what: str) -> Response:
    return JSONResponse({"detail": what}, status_code=status)


async def _drain(receive: Receive) -> None:
    """Take what is being sent, as far as that makes sense: who is cut off while sending reads no answer."""
    seen = 0
    while seen <= _MOST_DRAINED:
        message: dict[str, Any] = dict(await receive())
        seen += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return


def _dressed(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


def _measured(receive: Receive, most: int) -> Receive:
    """A body that grows past its limit without having said so is cut off."""
    seen = 0

    async def receiving() -> Message:
        nonlocal seen
        message: dict[str, Any] = dict(await receive())
        seen += len(message.get("body", b""))
        return {"type": "http.disconnect"} if seen > most else message

    return receiving
