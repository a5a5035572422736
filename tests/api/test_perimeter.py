"""What stands between the network and the routes: hosts, limits, sizes, times, headers, and the record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.perimeter import limits
from api.perimeter.addresses import Names, grouped
from api.perimeter.denials import BURST, Denials
from api.perimeter.limits import Limit, Limits, TooManyRequests
from api.perimeter.server import PatientConnection
from core import clock
from core.clock import TestClock
from core.database import Database
from core.events import EventLog
from tests.api.conftest import TOKEN, OpenServed, Served

RUN = "/api/v1/runs/run_none"


async def denied(served: Served, count: int) -> list[dict[str, Any]]:
    """The first denials of the service's own chain, once they are there."""
    found: list[dict[str, Any]] = []
    async for event in served.factory.follow("service"):
        if event.kind == "access.denied":
            found.append(dict(event.payload))
        if len(found) == count:
            return found
    raise AssertionError


async def raw(served: Served, sent: bytes, *, more: bytes = b"") -> bytes:
    """What the server answers to these bytes, until it closes the connection."""
    reader, writer = await asyncio.open_connection(*served.url.removeprefix("http://").split(":"))
    try:
        writer.write(sent)
        await writer.drain()
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()


# --- hosts and origins ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8000", "", "[", "localhost@evil.example"]
)
async def test_a_name_that_was_bent_to_this_machine_is_turned_away(
    open_served: OpenServed, host: str
) -> None:
    async with open_served() as served:
        answer = await served.http.get("/health", headers={"Host": host})
        assert answer.status_code == 421
        assert answer.json()["type"] == "urn:factory:wrong-host"
        assert (await served.http.get("/health", headers={"Host": "LOCALHOST:80"})).status_code == 200


async def test_a_page_of_another_site_is_turned_away(open_served: OpenServed) -> None:
    async with open_served() as served:
        for origin in ("https://evil.example", "null", "http://[", "http://127.0.0.1.evil.example"):
            answer = await served.http.get(RUN, headers={"Origin": origin})
            assert answer.status_code == 403, origin
            assert "access-control-allow-origin" not in answer.headers
        assert (await served.http.get(RUN, headers={"Origin": served.url})).status_code == 404
        told = (await denied(served, 1))[0]
        assert (told["code"], told["status"], told["path"]) == ("wrong-origin", 403, RUN)


async def test_a_site_that_is_named_may_read_answers(open_served: OpenServed) -> None:
    site = "https://chat.example.org"
    async with open_served(cors_origins=[site], hosts=["factory.example.org"]) as served:
        asked = {"Origin": site, "Access-Control-Request-Method": "POST"}
        asked["Access-Control-Request-Headers"] = "x-api-key"
        preflight = await served.http.options("/api/v1/runs", headers=asked)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == site
        answer = await served.http.get(RUN, headers={"Origin": site, "Host": "factory.example.org"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (404, site)
        other = await served.http.get(RUN, headers={"Origin": "https://evil.example"})
        assert other.status_code == 403


def test_only_a_server_on_loopback_is_called_localhost() -> None:
    assert Names.of("192.0.2.1", ["Factory.example"]).hosts == {"192.0.2.1", "factory.example"}
    assert "localhost" in Names.of("127.0.0.5").hosts


# --- sizes and times ------------------------------------------------------------------------------------


async def test_a_body_of_100_mb_is_refused_before_it_is_read(open_served: OpenServed) -> None:
    async with open_served() as served:
        head = b"POST /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000000\r\n\r\n"
        answer = await raw(served, head)  # not a byte of it was sent
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"application/problem+json" in answer
        assert (await denied(served, 1))[0]["status"] == 413


async def test_a_body_in_pieces_is_cut_off_at_the_limit(open_served: OpenServed) -> None:
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1_000_000
            yield b"x" * 1_000_000

    async with open_served(max_body=1_000_000) as served:
        try:
            answer = await served.http.post("/api/v1/runs", content=pieces())
        except (httpx.WriteError, httpx.ReadError):  # it closed while we were still writing
            pass
        else:
            assert answer.status_code == 413
        assert sent < 20_000_000
        assert (await served.http.get("/health")).status_code == 200


async def test_a_head_of_a_megabyte_is_refused(open_served: OpenServed) -> None:
    async with open_served() as served:
        answer = await raw(served, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 1_000_000)
        assert answer.startswith(b"HTTP/1.1 400 ") or answer == b"reset"
        assert (await served.http.get("/health")).status_code == 200


async def test_a_head_that_never_ends_is_not_waited_for(
    open_served: OpenServed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PatientConnection, "head_seconds", 0.2)
    async with open_served() as served:
        for begun in (b"", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "):
            assert await raw(served, begun) == b""
        reader, writer = await asyncio.open_connection(*served.url.removeprefix("http://").split(":"))
        writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert await reader.readuntil(b'{"status":"ok"}')
        writer.write(b"GET /he")  # the second one of a connection
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()


async def test_a_body_that_never_ends_is_not_waited_for(open_served: OpenServed) -> None:
    async with open_served() as served:
        served.app.state.perimeter.body_seconds = 0.2
        bearer = f"Authorization: Bearer {TOKEN}\r\n".encode()
        head = b"POST /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
        answer = await raw(served, head + bearer + b"\r\n{")
        assert answer.startswith(b"HTTP/1.1 408 ")


async def test_who_may_not_come_in_is_told_so_before_the_body_is_read(open_served: OpenServed) -> None:
    async with open_served() as served:
        await served.http.post("/api/v1/users", json={"name": "eve", "role": "auditor"})
        made = await served.http.post("/api/v1/tokens", json={"label": "hers", "user": "eve"})
        eve = f"Authorization: Bearer {made.json()['secret']}\r\n".encode()
        for path in (b"/api/v1/runs", b"/api/v1/users", b"/api/v1/webhooks"):
            for who, status in ((b"", b"401"), (eve, b"403")):
                for key in (b"", b"Idempotency-Key: one\r\n"):
                    head = b"POST " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
                    answer = await raw(served, head + who + key + b"\r\n{")  # the rest never comes
                    assert answer.startswith(b"HTTP/1.1 " + status), (path, answer[:200])
                    assert b"connection: close" in answer.lower()
        stranger = await served.http.post("/api/v1/runs", content=b"{", headers={"Authorization": ""})
        assert stranger.status_code == 401


# --- limits ---------------------------------------------------------------------------------------------


def test_a_bucket_fills_with_time() -> None:
    with clock.use(TestClock()) as stopped:
        assert isinstance(stopped, TestClock)
        limit = Limit(per_minute=6, burst=2)
        assert [limit.take("a"), limit.take("a")] == [0, 0]
        assert limit.take("a") == pytest.approx(10)
        assert limit.take("b") == 0
        stopped.advance(10)
        assert limit.take("a") == 0
        assert limit.wait("a") == pytest.approx(10)


def test_a_million_addresses_take_no_more_memory_than_the_limit_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST", 100)
    limit = Limit(per_minute=1, burst=1)
    for number in range(10_000):
        limit.take(f"address {number}")
    assert len(limit) == 100
    assert limit.take("address 9999") > 0


def test_an_ipv6_customer_has_one_bucket() -> None:
    assert grouped("2001:db8:1:2:aaaa::1") == grouped("2001:db8:1:2:bbbb::2") == "2001:db8:1:2::/64"
    assert grouped("::ffff:192.0.2.1") == "192.0.2.1"
    assert grouped("192.0.2.7") != grouped("192.0.2.8")


async def test_a_caller_who_asks_too_often_is_told_when_to_come_again(open_served: OpenServed) -> None:
    async with open_served(rate_limit=8) as served:
        accounts = served.service.access
        user = await accounts.users.add("ci", "auditor", password=None, by="owner")
        _, secret = await accounts.tokens.issue(user, "a", by="owner")
        _, other = await accounts.tokens.issue(user, "b", by="owner")
        headers = {"Authorization": f"Bearer {secret}"}
        answers = [await served.http.get(RUN, headers=headers) for _ in range(3)]
        assert [one.status_code for one in answers] == [404, 404, 429]
        assert 1 <= int(answers[2].headers["retry-after"]) <= 8
        assert answers[2].json()["type"] == "urn:factory:too-many-requests"
        again = await served.http.get(RUN, headers={"Authorization": f"Bearer {other}"})
        assert again.status_code == 404
        assert {(await served.http.get(RUN)).status_code for _ in range(5)} == {404}  # the owner's own


async def test_an_address_that_asks_too_often_is_turned_away_before_its_token_is_read(
    open_served: OpenServed,
) -> None:
    async with open_served(rate_limit=2, proxies=["127.0.0.1"]) as served:
        headers = {"X-Forwarded-For": "203.0.113.5"}
        answers = [await served.http.get("/health", headers=headers) for _ in range(4)]
        assert [one.status_code for one in answers] == [200, 200, 429, 429]
        elsewhere = await served.http.get("/health", headers={"X-Forwarded-For": "203.0.113.6"})
        assert elsewhere.status_code == 200
        assert (await denied(served, 1))[0]["address"] == "203.0.113.5"


async def test_a_made_up_address_counts_nothing_without_a_proxy(open_served: OpenServed) -> None:
    async with open_served() as served, httpx.AsyncClient(base_url=served.url, timeout=60) as http:
        await http.get(RUN, headers={"X-Forwarded-For": "203.0.113.5"})
        assert (await denied(served, 1))[0]["address"] == "127.0.0.1"


async def test_guessing_passwords_is_slow(open_served: OpenServed) -> None:
    async with open_served() as served, httpx.AsyncClient(base_url=served.url, timeout=60) as http:
        password = "a lamp beside the river"
        await served.service.access.users.add("ada", "operator", password=password, by="owner")
        wrong = {"name": "ada", "password": "not the password of ada"}
        statuses = [(await http.post("/api/v1/sessions", json=wrong)).status_code for _ in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        right = await http.post("/api/v1/sessions", json={**wrong, "password": password})
        assert right.status_code == 429
        assert int(right.headers["retry-after"]) <= 10


def test_one_name_is_guessed_slowly_from_many_addresses() -> None:
    counting = Limits(100)
    for number in range(30):
        counting.before_sign_in(f"192.0.2.{number}", "ada")
        counting.sign_in_failed(f"192.0.2.{number}", "ada")
    with pytest.raises(TooManyRequests):
        counting.before_sign_in("198.51.100.1", "ada")
    counting.before_sign_in("198.51.100.1", "bob")


# --- what every answer has, and what is kept ------------------------------------------------------------


async def test_every_answer_has_a_request_id_and_headers_that_keep_browsers_safe(
    open_served: OpenServed,
) -> None:
    async with open_served() as served:
        for path in ("/health", RUN, "/nowhere"):
            answer = await served.http.get(path, headers={"X-Request-ID": "mine-1"})
            assert answer.headers["x-request-id"] == "mine-1"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
            assert "server" not in answer.headers
        made = [
            await served.http.get("/health", headers={"X-Request-ID": bad}) for bad in ("", "a b", "x" * 65)
        ]
        assert len({one.headers["x-request-id"] for one in made}) == 3
        assert all(one.headers["x-request-id"].startswith("req-") for one in made)


async def test_every_denied_request_is_in_the_audit(open_served: OpenServed) -> None:
    async with open_served() as served:
        accounts = served.service.access
        user = await accounts.users.add("ci", "auditor", password=None, by="owner")
        token, secret = await accounts.tokens.issue(user, "a", by="owner")
        await served.http.get(RUN, headers={"Authorization": "Bearer wrong", "X-Request-ID": "one"})
        headers = {"Authorization": f"Bearer {secret}", "X-Request-ID": "two"}
        await served.http.post("/api/v1/runs", json={"requirement": "x"}, headers=headers)
        first, second = await denied(served, 2)
        assert (first["status"], first["code"], first["request_id"]) == (401, "not-signed-in", "one")
        assert (first["caller"], first["path"], first["address"]) == (None, RUN, "127.0.0.1")
        assert (second["status"], second["code"], second["caller"]) == (403, "not-permitted", "ci")
        assert (second["credential_id"], second["request_id"]) == (token.id, "two")


async def test_a_secret_in_a_path_is_not_kept(open_served: OpenServed) -> None:
    async with open_served() as served, httpx.AsyncClient(base_url=served.url, timeout=60) as http:
        secret = "sk-" + "a1b2c3d4" * 4
        await http.get(f"/api/v1/runs/{secret}")
        assert secret not in str(await denied(served, 1))


async def test_a_flood_of_denied_requests_is_counted_not_written(database: Database) -> None:
    denials = Denials(EventLog(database))
    keeping = asyncio.create_task(denials.keep())
    began = time.perf_counter()
    for number in range(100_000):
        denials.note({"status": 401, "code": f"code-{number % 200}", "address": f"192.0.2.{number % 250}"})
        if number % 1_000 == 0:
            await asyncio.sleep(0)
    taken = time.perf_counter() - began
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    events = [dict(event.payload) for event in await EventLog(database).read("service")]
    assert BURST <= len(events) <= BURST + 2 + taken
    total = sum(int(str(event.get("count", 1))) for event in events)
    assert total == 100_000
    assert len(events[-1]["reasons"]) == 51  # pyright: ignore[reportArgumentType]
    assert len(events[-1]["addresses"]) == 5  # pyright: ignore[reportArgumentType]
