"""How an MCP server of the factory is reached: over standard input and output, or over HTTP with a token.

HTTP listens on one named address, loopback unless an operator says otherwise. A request needs the token, and
a Host and Origin that are this server's: a web page in somebody's browser has neither, whatever name its own
server resolves to (DNS rebinding).
"""

import hmac
import secrets
import signal
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

import uvicorn
from mcp.server.fastmcp import FastMCP
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from core import redaction
from core.listening import in_url, is_loopback, listen
from core.serving import Server

PATH = "/mcp"
_GRACE = 2  # seconds that open streams have to end when the server does


class TokenGuard:
    """Lets nobody in without the token: `Authorization: Bearer TOKEN`, or `?token=TOKEN` as with Jupyter."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if not self._knows(scope):
                refusal = PlainTextResponse(
                    "The token is missing or wrong; it was printed when the server started\n",
                    status_code=401,
                    headers={"WWW-Authenticate": "Bearer"},
                )
                await refusal(scope, receive, send)
                return
            query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            scope = {**scope, "query_string": rest.encode("latin-1")}
        await self._app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        given = [value for name, value in query if name == "token"]
        scheme, _, bearer = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            given.append(bearer.strip())
        return any(hmac.compare_digest(value.encode(), self._token) for value in given)


def http_app(server: FastMCP[None], *, host: str, port: int, token: str) -> ASGIApp:
    """The server as an ASGI application that answers at `/mcp` to whoever has the token."""
    names = [host, *(("127.0.0.1", "localhost", "::1") if is_loopback(host) else ())]
    hosts = [f"{in_url(name)}:{port}" for name in dict.fromkeys(names)]
    server.settings.streamable_http_path = PATH
    server.settings.transport_security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=hosts,
        allowed_origins=[f"http://{name}" for name in hosts],
    )
    return TokenGuard(server.streamable_http_app(), token)


async def serve_http(
    server: FastMCP[None], address: str, *, token: str | None, announce: Callable[[str], None]
) -> None:
    """Serve until the process is told to end. `announce` is told the URL and the token."""
    token = token or secrets.token_urlsafe(32)
    redaction.know(token)
    listening, host, port = listen(address)
    with listening:
        app = http_app(server, host=host, port=port, token=token)
        url = f"http://{in_url(host)}:{port}{PATH}"
        announce(f"Listening at {url}?token={token}")
        announce(f"Or at {url} with the header `Authorization: Bearer {token}`")
        if not is_loopback(host):
            announce("This is not loopback: the token and all content cross the network unencrypted.")
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # it would write down the token
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
            lifespan="on",
        )
        serving = Server(config)
        with serving.ended_in_order():
            await serving.serve(sockets=[listening])


async def serve_stdio(server: FastMCP[None]) -> None:
    """Serve over standard input and output until the input ends. Nothing else may write to the output."""
    # The SDK reads in a thread that nothing can interrupt: Ctrl-C would wait for the next line. What the
    # factory keeps survives a kill, so it ends as it does at SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    await server.run_stdio_async()
