"""The one way out of a sandbox: real servers, real sockets, the real sandbox."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from workspace import allowlist
from workspace.egress import Contact, Egress, Resolve, parse, proxy
from workspace.policies import Policies, Policy
from workspace.sandbox import Sandbox

LOCAL = (ip_network("127.0.0.0/8"),)


def egress(*hosts: str, **more: object) -> Egress:
    return replace(Egress(tuple(map(allowlist.entry, hosts)), LOCAL), **more)  # type: ignore[arg-type]


@pytest.fixture
async def server() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A web server on this machine: its port, and every head that it got."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as serving:
        yield serving.sockets[0].getsockname()[1], heads


class Client:
    """A program in a sandbox, as the proxy sees it."""

    def __init__(self, path: Path, contacts: list[Contact]) -> None:
        self.path, self.contacts = path, contacts

    async def ask(self, request: bytes, then: bytes = b"") -> bytes:
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(request)
        said = b""
        if then:
            said = await reader.readuntil(b"\r\n\r\n")
            writer.write(then)
        said += await reader.read(-1)
        writer.close()
        return said


@asynccontextmanager
async def client(allowed: Egress, folder: Path, *addresses: str) -> AsyncIterator[Client]:
    """`addresses`: what every name leads to."""
    contacts: list[Contact] = []

    async def found(_host: str, _port: int) -> Sequence[str]:
        return addresses

    resolve: Resolve | None = found if addresses else None
    async with proxy(allowed, folder, contacts.append, resolve) as path:
        yield Client(path, contacts)


def get(url: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {url} HTTP/1.1", *headers, "", ""]).encode()


async def test_an_allowed_host_answers(tmp_path: Path, server: tuple[int, list[bytes]]) -> None:
    port, heads = server
    async with client(egress(f"web.test:{port}"), tmp_path, "127.0.0.1") as asks:
        url = f"http://web.test:{port}/a?b=c"
        said = await asks.ask(get(url, "Host: other.test", "Proxy-Authorization: x", "Accept: */*"))
        assert said.endswith(b"\r\n\r\nhello")
        tunnel = f"CONNECT WEB.test.:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        said = await asks.ask(tunnel, b"GET / HTTP/1.1\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK")
        assert said.endswith(b"hello")
        assert asks.contacts == [Contact("web.test", port, "")] * 2
    assert heads[0] == (
        f"GET /a?b=c HTTP/1.1\r\nHost: web.test:{port}\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://evil.test/", "http://web.test:8080/", "http://web.test.evil.test/"])
async def test_a_host_that_is_not_listed_is_refused_and_told(tmp_path: Path, url: str) -> None:
    async with client(egress("web.test", "*.cdn.test"), tmp_path, "127.0.0.1") as asks:
        said = await asks.ask(get(url))
    assert said.startswith(b"HTTP/1.1 403 ")
    assert b"not on the allow-list" in said
    (contact,) = asks.contacts
    assert contact.why == "not on the allow-list"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *(
            "::1",
            "::",
            "fd00:ec2::254",
            "fe80::1%eth0",
            "::ffff:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "224.0.0.1",
        ),
        *("2002:7f00:1::", "168.63.129.16", "100.100.100.200"),
    ],
)
async def test_a_name_that_leads_inward_is_refused(tmp_path: Path, address: str) -> None:
    open_to_all = replace(egress("web.test"), networks=())
    async with client(open_to_all, tmp_path, "93.184.215.14", address) as asks:
        assert (await asks.ask(get("http://web.test/"))).startswith(b"HTTP/1.1 403 ")
    assert "address" in asks.contacts[0].why or "machine" in asks.contacts[0].why


async def test_a_name_that_changes_its_address_between_check_and_use_gains_nothing(
    tmp_path: Path, server: tuple[int, list[bytes]]
) -> None:
    port, heads = server
    looked_up: list[str] = []

    async def rebinding(host: str, _port: int) -> Sequence[str]:
        looked_up.append(host)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["169.254.169.254"]

    async with proxy(egress(f"web.test:{port}"), tmp_path, lambda _: None, rebinding) as path:
        said = await Client(path, []).ask(get(f"http://web.test:{port}/"))
    assert said.endswith(b"hello")
    assert looked_up == ["web.test"]
    assert len(heads) == 1


@pytest.mark.parametrize("most", [100, 400])
async def test_traffic_has_an_end(tmp_path: Path, server: tuple[int, list[bytes]], most: int) -> None:
    port, _ = server
    async with client(egress(f"web.test:{port}", bytes=most), tmp_path, "127.0.0.1") as asks:
        answers = [await asks.ask(get(f"http://web.test:{port}/")) for _ in range(12)]
    assert answers[0].endswith(b"hello")
    assert not answers[-1].endswith(b"hello")
    assert any("bytes" in contact.why for contact in asks.contacts)


async def test_a_connection_has_an_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with client(egress(f"web.test:{port}", seconds=0.2), tmp_path, "127.0.0.1") as asks:
            async with asyncio.timeout(30):
                assert await asks.ask(get(f"http://web.test:{port}/")) == b""


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET http://web.test/\r\n\r\n",
        b"GET https://web.test/ HTTP/1.1\r\n\r\n",
        b"GET http://a@web.test/ HTTP/1.1\r\n\r\n",
        b"GET http://web.test/\x00 HTTP/1.1\r\n\r\n",
        b"GET http://web.test:99999/ HTTP/1.1\r\n\r\n",
        b"GET http://web.test:x/ HTTP/1.1\r\n\r\n",
        b"CONNECT web.test HTTP/1.1\r\n\r\n",
        b"CONNECT web_test!:443 HTTP/1.1\r\n\r\n",
        b"POST http://web.test/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST http://web.test/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST http://web.test/ HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 2\r\n\r\n",
        b"POST http://web.test/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET http://web.test/ HTTP/1.1\r\nX : y\r\n\r\n",
        b"GET http://web.test/ HTTP/1.1\r\nX: y\nHost: evil.test\r\n\r\n",
        b"GET http://web.test/ HTTP/1.1\r\n folded\r\n\r\n",
        b"GET http://web.test/\xff HTTP/1.1\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_not_passed_on(tmp_path: Path, request_: bytes) -> None:
    async with client(egress("web.test", "*.evil.test"), tmp_path, "127.0.0.1") as asks:
        assert (await asks.ask(request_)).startswith(b"HTTP/1.1 400 ")
    assert asks.contacts == []


async def test_a_second_request_cannot_hide_behind_the_first(
    tmp_path: Path, server: tuple[int, list[bytes]]
) -> None:
    port, heads = server
    async with client(egress(f"web.test:{port}"), tmp_path, "127.0.0.1") as asks:
        one = get(f"http://web.test:{port}/", "Connection: keep-alive")
        await asks.ask(one + b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n")
    assert len(heads) == 1
    assert b"evil" not in heads[0]
    assert parse(b"POST http://a.test/ HTTP/1.1\r\nContent-Length: 7\r\n\r\n").body == 7


async def test_a_head_without_an_end_is_refused(tmp_path: Path) -> None:
    async with client(egress("web.test"), tmp_path, "127.0.0.1") as asks:
        said = await asks.ask(b"GET http://web.test/ HTTP/1.1\r\nX: " + b"x" * 100_000)
    assert said.startswith(b"HTTP/1.1 431 ") or said == b""


def test_an_allow_list_means_what_it_says() -> None:
    entries = [allowlist.entry(text) for text in ("A.test", "*.b.test", "c.test:8443", "[2001:db8::1]:80")]
    allowed = {("a.test", 80), ("a.test", 443), ("x.b.test", 443), ("x.y.b.test", 80), ("c.test", 8443)}
    refused = {("x.a.test", 80), ("b.test", 80), ("xb.test", 443), ("c.test", 443), ("a.test", 22)}
    for host, port in allowed | {("2001:db8::1", 80)}:
        assert allowlist.allowed(entries, host, port), (host, port)
    for host, port in refused:
        assert not allowlist.allowed(entries, host, port), (host, port)
    for wrong in (
        "",
        "*",
        "*.",
        "*.com",
        "a.test:",
        "a.test:0",
        "a.test:x",
        "http://a.test",
        "a b",
        "*.1.2.3.4",
    ):
        with pytest.raises(ValueError, match=r"is no (host|port)"):
            allowlist.entry(wrong)


async def test_a_command_reaches_allowed_hosts_and_nobody_else(
    sandbox: Sandbox, tmp_path: Path, server: tuple[int, list[bytes]]
) -> None:
    port, _ = server
    allowed = Policy("net", egress=egress(f"127.0.0.1:{port}", f"localhost:{port}"))
    connected = replace(sandbox, policies=Policies({"net": allowed}))
    program = (
        "import os, socket, urllib.request as u\n"
        "os.environ.pop('NO_PROXY'); os.environ.pop('no_proxy')\n"
        f"for url in ('http://127.0.0.1:{port}/', 'http://localhost:{port}/', 'http://127.0.0.1:1/'):\n"
        "    try: print(u.urlopen(url, timeout=5).read())\n"
        "    except OSError as error: print(error)\n"
        f"try: socket.create_connection(('127.0.0.1', {port}), timeout=1); print('got out')\n"
        "except OSError: print('no way out')\n"
        "try: os.wait()\n"
        "except ChildProcessError: print('no child')\n"
    )
    (tmp_path / "tree").mkdir()
    contacts: list[Contact] = []
    ran = await connected.run(
        ["python", "-c", program], tmp_path / "tree", policy="net", report=contacts.append
    )
    assert ran.output.splitlines() == [
        *("b'hello'", "b'hello'", "HTTP Error 403: Forbidden", "no way out", "no child"),
    ]
    assert [(contact.port, bool(contact.why)) for contact in contacts] == [
        *((port, False), (port, False), (1, True)),
    ]
    missing = await connected.run(["nothing-there"], tmp_path / "tree", policy="net")
    assert missing.exit_code == 127
