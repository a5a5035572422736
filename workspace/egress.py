"""The one way out of a sandbox: a proxy on a unix socket that connects to allowed hosts and to nobody else.

It runs outside, for one command. What comes in is hostile: heads are short, every wait has an end, a name is
looked up here, and the connection goes to the very address that was checked.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from workspace import allowlist
from workspace.allowlist import Entry, Network

_LONGEST_HEAD = 32_000
_PATIENCE = 10.0
"""Seconds for a head to arrive, a name to be found and a connection to be made; each."""
_MOST_CONNECTIONS = 64
# Between the client and this proxy only, or no business of the server's.
_HOP = frozenset(("connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade"))

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host."""


@dataclass(frozen=True, slots=True)
class Egress:
    """Which hosts are reached, and how much."""

    hosts: tuple[Entry, ...] = ()
    networks: tuple[Network, ...] = ()
    """Private networks that the operator opens."""
    bytes: int = 500_000_000
    """Both ways, all connections of a command together."""
    seconds: int = 600
    """The longest that one connection lasts."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A host that a command wanted to reach."""

    host: str
    port: int
    why: str
    """Why it was refused; empty where it was allowed."""


Report = Callable[[Contact], None]


@asynccontextmanager
async def proxy(
    egress: Egress, folder: Path, report: Report, resolve: Resolve | None = None
) -> AsyncGenerator[Path]:
    """Serve until the block ends; gives the socket's path, in `folder`. Every contact is reported."""
    serving = _Proxy(egress, report, resolve or _resolve)
    path = folder / f"egress-{secrets.token_hex(6)}"
    listener = await asyncio.to_thread(_bound, path)
    server = await asyncio.start_unix_server(serving.serve, sock=listener, limit=_LONGEST_HEAD)
    try:
        yield path
    finally:
        server.close()
        await serving.close()
        await server.wait_closed()
        path.unlink(missing_ok=True)


def _bound(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    listener = socket.socket(socket.AF_UNIX)
    try:
        # By way of a descriptor: the name of a socket may have a hundred characters only.
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        # The command has an identity of its own; nobody else comes through the factory's home.
        path.chmod(0o666)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(folder)
    return listener


async def _resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(where[4][0]) for where in found]


class _Refused(Exception):
    """A request that is not fulfilled; its text is the reason."""


@dataclass(frozen=True, slots=True)
class _Request:
    host: str
    port: int
    head: bytes
    """What the server is told; nothing for a tunnel."""
    body: int | None
    """Bytes that follow and go to the server too; None: all that come."""


class _Proxy:
    def __init__(self, egress: Egress, report: Report, resolve: Resolve) -> None:
        self._egress, self._report, self._resolve = egress, report, resolve
        self._left = egress.bytes
        self._serving: set[asyncio.Task[object]] = set()

    async def close(self) -> None:
        """End every connection."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the command."""
        task = asyncio.current_task()
        assert task is not None
        try:
            if len(self._serving) >= _MOST_CONNECTIONS:
                return
            self._serving.add(task)
            async with asyncio.timeout(self._egress.seconds):
                await self._answer(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the command sees its connection closed
        finally:
            self._serving.discard(task)
            writer.transport.abort() if writer.is_closing() else writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = outward = None
        try:
            async with asyncio.timeout(_PATIENCE):
                request = parse(await reader.readuntil(b"\r\n\r\n"))
            inward, outward = await self._connect(request)
        except asyncio.LimitOverrunError:
            await _say(writer, "431 Request Header Fields Too Large", "the head is too long")
        except ValueError as wrong:
            await _say(writer, "400 Bad Request", str(wrong))
        except _Refused as refused:
            assert request is not None
            self._report(Contact(request.host, request.port, str(refused)))
            await _say(writer, "403 Forbidden", f"egress refused: {refused}")
        except (OSError, TimeoutError) as error:
            await _say(writer, "502 Bad Gateway", f"no connection: {error}")
        else:
            self._report(Contact(request.host, request.port, ""))
            await self._pass(request, (reader, writer), (inward, outward))
        finally:
            if outward is not None:
                outward.close()

    async def _connect(self, request: _Request) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = request.host, request.port
        if not allowlist.allowed(self._egress.hosts, host, port):
            raise _Refused("not on the allow-list")
        if self._left <= 0:
            raise _Refused(f"more than {self._egress.bytes} bytes")
        async with asyncio.timeout(_PATIENCE):
            addresses = [host] if allowlist.is_address(host) else await self._resolve(host, port)
        if not addresses:
            raise OSError("the name has no address")
        for address in addresses:
            # One bad address is enough: an honest name has none.
            if why := allowlist.refusal(address, self._egress.networks):
                raise _Refused(why)
        last: OSError | TimeoutError | None = None
        for address in addresses:
            try:
                async with asyncio.timeout(_PATIENCE):
                    return await asyncio.open_connection(address, port)
            except (OSError, TimeoutError) as error:
                last = error
        assert last is not None
        raise last

    async def _pass(
        self,
        request: _Request,
        inner: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        outer: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        if request.head:
            outer[1].write(request.head)
        else:
            inner[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        up = asyncio.create_task(self._pump(inner[0], outer[1], request, request.body))
        down = asyncio.create_task(self._pump(outer[0], inner[1], request, None))
        try:
            # The server's word is the last one; a client that has said all may still listen.
            await down
            if not request.head:
                await up
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: _Request, most: int | None
    ) -> None:
        while most != 0 and (chunk := await reader.read(1 << 16 if most is None else min(1 << 16, most))):
            self._left -= len(chunk)
            if self._left < 0:
                self._report(Contact(request.host, request.port, f"more than {self._egress.bytes} bytes"))
                raise ConnectionAbortedError
            most = None if most is None else most - len(chunk)
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof() and most is None:
            with suppress(OSError):
                writer.write_eof()


def parse(head: bytes) -> _Request:
    """What a client asks of a proxy. Raises ValueError for what is no such request."""
    try:
        first, *lines = head.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
        method, target, version = first.split(" ")
    except ValueError:
        raise ValueError("no request to a proxy") from None
    if version not in ("HTTP/1.1", "HTTP/1.0") or not method.isalpha() or not target.isprintable():
        raise ValueError("no request to a proxy")
    if method == "CONNECT":
        name, _, number = target.rpartition(":")
        return _Request(*_place(name, number), head=b"", body=None)
    url = urlsplit(target)
    if url.scheme != "http" or not url.netloc or "@" in url.netloc:
        raise ValueError("no http:// address; for https the proxy wants CONNECT")
    bracketed = url.netloc.endswith("]") or ":" not in url.netloc
    name, _, number = (url.netloc, "", "80") if bracketed else url.netloc.rpartition(":")
    host, port = _place(name, number)
    kept, length = _headers(lines)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    # One request a connection, and the server is told the very host that was checked.
    shown = f"[{host}]" if ":" in host else host
    kept = [f"Host: {shown}" + ("" if port == 80 else f":{port}"), *kept, "Connection: close"]
    text = "\r\n".join([f"{method} {path} HTTP/1.1", *kept]) + "\r\n\r\n"
    return _Request(host, port, head=text.encode("ascii"), body=length)


def _place(name: str, number: str) -> tuple[str, int]:
    host = allowlist.host(name)
    if host is None or not number.isdecimal() or not 0 < int(number) < 65536:
        raise ValueError("no host and port")
    return host, int(number)


def _headers(lines: Sequence[str]) -> tuple[list[str], int]:
    """The header lines that the server is told, and how long the body is."""
    kept: list[str] = []
    length: int | None = None
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line or "\r" in line or "\0" in line:
            raise ValueError("a header line that is none")
        if name.lower() == "transfer-encoding":
            raise ValueError("a body without a length is not passed on")
        if name.lower() == "content-length":
            if length is not None or not value.strip().isdecimal():
                raise ValueError("no length")
            length = int(value)
        if name.lower() != "host" and name.lower() not in _HOP:
            kept.append(line)
    return kept, length or 0


async def _say(writer: asyncio.StreamWriter, status: str, text: str) -> None:
    body = f"{text}\n".encode("utf-8", "replace")
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close"
    )
    writer.write(head.encode() + b"\r\n\r\n" + body)
    await writer.drain()
    writer.write_eof()
