"""Events over real HTTP: replayed, live, cut, come back to."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from core.database import DatabaseUnavailable
from core.events import Entry, EventLog
from core.postgres import EmbeddedPostgres
from tests.api.conftest import TOKEN, OpenServed, Served
from tests.api.sse import streaming

ALL = "/api/v1/events/stream"
OWN = 1
"""Readers that a service has of its own: its metrics."""


def _of(run_id: str) -> str:
    return f"/api/v1/runs/{run_id}/events/stream"


async def _run(served: Served, project: str = "ferns") -> str:
    return await served.factory.submit("A page about ferns", pipeline="one", project=project)


async def _until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.01)


async def test_a_run_streams_to_its_end_and_a_client_need_not_come_back(open_served: OpenServed) -> None:
    async with open_served() as served:
        sent = {"requirement": "A page about ferns", "pipeline": "one", "approve_all": True}
        run_id = (await served.http.post("/api/v1/runs", json=sent)).json()["run_id"]
        async with streaming(served.http, _of(run_id)) as stream:
            events = [event async for event in stream.events()]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert (events[0]["kind"], events[-1]["kind"]) == ("run.created", "run.ended")
        assert {event["run_id"] for event in events} == {run_id}
        (log,) = await served.factory.events.at(run_id, [events[-1]["seq"]])
        assert (events[-1]["hash"], events[-1]["payload"]) == (log.hash, log.payload)
        again = await served.http.get(_of(run_id), headers={"Last-Event-ID": stream.last_id})
        assert (again.status_code, again.content) == (204, b"")
        async with streaming(served.http, _of(run_id), after=events[-3]["seq"]) as stream:
            assert [event async for event in stream.events()] == events[-2:]


async def test_a_run_that_was_rolled_back_streams_beyond_its_first_end(open_served: OpenServed) -> None:
    async with open_served(jobs=0) as served:
        run_id = await _run(served)
        log = served.factory.events
        for kind in ("run.ended", "run.rolled_back", "stage.started"):
            await log.append(run_id, kind)
        async with streaming(served.http, _of(run_id)) as stream:
            assert [event["kind"] for event in await stream.take(4)][1:] == [
                "run.ended",
                "run.rolled_back",
                "stage.started",
            ]
            await log.append(run_id, "run.ended")
            assert [event["kind"] async for event in stream.events()] == ["run.ended"]


async def test_two_runs_are_told_apart_and_interleaved(open_served: OpenServed) -> None:
    async with open_served(jobs=0) as served:
        one, other = await _run(served, "ferns"), await _run(served, "mosses")
        log = served.factory.events
        async with (
            streaming(served.http, ALL, after=0) as everything,
            streaming(served.http, ALL, project="mosses", kind="stage.*", after=0) as some,
            streaming(served.http, ALL, run=one, after=0) as of_one,
        ):
            for n in range(20):
                for run_id in (one, other):
                    await log.append(run_id, "stage.told", {"n": n})
            taken = await asyncio.wait_for(everything.take(42), 30)
            assert [event["position"] for event in taken] == list(range(1, 43))
            for run_id, project in ((one, "ferns"), (other, "mosses")):
                own = [event for event in taken if event["run_id"] == run_id]
                assert [event["seq"] for event in own] == list(range(1, 22))
                assert {event["project"] for event in own} == {project}
            found = await asyncio.wait_for(some.take(20), 30)
            assert [event["payload"]["n"] for event in found] == list(range(20))
            assert {event["run_id"] for event in found} == {other}
            assert len(await asyncio.wait_for(of_one.take(21), 30)) == 21


async def test_a_storm_of_clients_that_come_back_misses_and_repeats_nothing(open_served: OpenServed) -> None:
    count, clients, chance = 150, 10, random.Random(7)
    async with open_served(jobs=0) as served:
        run_id = await _run(served)

        async def insist(path: str, place: str) -> list[int]:
            seen: list[int] = []
            last: str | None = None
            while len(seen) < count + 1:
                async with streaming(served.http, path, last_id=last or "0") as stream:
                    for event in await stream.take(min(chance.randint(1, 60), count + 1 - len(seen))):
                        seen.append(event[place])
                    last = stream.last_id
            return seen

        work = [asyncio.create_task(insist(_of(run_id), "seq")) for _ in range(clients)]
        work += [asyncio.create_task(insist(ALL, "position")) for _ in range(clients)]
        for n in range(0, count, 10):
            await served.factory.events.append_all(
                run_id, [Entry("a.b", {"n": n + m}, key=f"{n + m}") for m in range(10)]
            )
        for seen in await asyncio.wait_for(asyncio.gather(*work), 60):
            assert seen == list(range(1, count + 2))
        await _until(lambda: served.service.hub.readers == OWN)


async def test_a_database_that_was_away_in_mid_stream_costs_no_event(
    open_served: OpenServed, postgres: EmbeddedPostgres, database_name: str
) -> None:
    async with open_served(jobs=0) as served:
        run_id = await _run(served)
        log = served.factory.events
        async with streaming(served.http, _of(run_id)) as one, streaming(served.http, ALL, after=0) as all_:
            for half in range(2):
                for n in range(10):
                    await _written(log, run_id, f"{half}/{n}")
                if half == 0:
                    await asyncio.wait_for(one.take(5), 30)
                    with psycopg.connect(
                        postgres.conninfo("admin", dbname=database_name), autocommit=True
                    ) as admin:
                        admin.execute(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                        )
            assert [event["seq"] for event in await asyncio.wait_for(one.take(16), 30)] == list(range(6, 22))
            assert [e["position"] for e in await asyncio.wait_for(all_.take(21), 30)] == list(range(1, 22))


async def _written(log: EventLog, run_id: str, key: str) -> None:
    while True:
        try:
            await log.append(run_id, "a.b", key=key)
        except DatabaseUnavailable:
            await asyncio.sleep(0.05)
        else:
            return


async def test_a_slow_reader_is_cut_while_others_go_on(open_served: OpenServed) -> None:
    async with open_served() as served:
        served.service.hub.most_bytes = 300_000
        run_id = await _run(served)
        slow = await _connect(served, ALL)
        await _until(lambda: served.service.hub.readers == OWN + 1)
        log, count = served.factory.events, 200
        async with streaming(served.http, _of(run_id)) as quick:
            taking = asyncio.create_task(quick.take(count + 1))
            for n in range(count):
                await log.append(run_id, "a.b", {"text": "x" * 20_000}, key=str(n))
            assert [event["seq"] for event in await asyncio.wait_for(taking, 20)] == list(range(1, count + 2))
            await _until(lambda: served.service.hub.readers == OWN + 1)
        got = await asyncio.to_thread(_rest, slow)
        last = int(got.rpartition(b"id: ")[0].rpartition(b"id: ")[2].partition(b"\n")[0])
        assert last < count  # it is told nothing more; what it has it may go on from
        async with streaming(served.http, ALL, last_id=str(last)) as stream:
            rest = await asyncio.wait_for(stream.take(count + 1 - last), 20)
        assert [event["position"] for event in rest] == list(range(last + 1, count + 2))


async def _connect(served: Served, path: str) -> socket.socket:
    """A client that has asked, and reads nothing."""
    where = urlsplit(served.url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, (where.hostname, where.port))
    asked = f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    await asyncio.get_running_loop().sock_sendall(client, asked.encode())
    return client


def _rest(client: socket.socket) -> bytes:
    got = b""
    client.settimeout(10)
    with client:
        try:
            while piece := client.recv(65_536):
                got += piece
        except ConnectionResetError:
            pass
    return got


async def test_a_client_that_vanishes_is_noticed_though_nothing_happens(open_served: OpenServed) -> None:
    async with open_served(jobs=0) as served:
        clients = [await _connect(served, ALL) for _ in range(5)]
        await _until(lambda: served.service.hub.readers == OWN + 5)
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            client.close()
        await _until(lambda: served.service.hub.readers == OWN)


async def test_a_quiet_stream_says_that_it_is_alive_and_how_far_the_log_is(open_served: OpenServed) -> None:
    async with open_served(jobs=0, stream_heartbeat=0.1) as served:
        run_id = await _run(served)
        async with streaming(served.http, ALL, kind="run.ended") as stream:
            reading = asyncio.create_task(stream.take(1))
            await _until(lambda: served.service.hub.readers == OWN + 1)
            for n in range(5):
                await served.factory.events.append(run_id, "a.b", key=str(n))
            await _until(lambda: stream.last_id == "6" and len(stream.comments) > 1)
            assert not reading.done()
            await served.factory.events.append(run_id, "run.ended")
            assert (await asyncio.wait_for(reading, 30))[0]["position"] == 7


async def test_a_token_of_one_project_streams_that_project_alone(open_served: OpenServed) -> None:
    async with open_served(jobs=0) as served:
        one, other = await _run(served, "ferns"), await _run(served, "mosses")
        accounts, log = served.service.access, served.factory.events
        user = await accounts.users.add("ada", "operator", password=None, by="owner")
        ferns = (await accounts.tokens.issue(user, "t", projects=["ferns"], by="owner"))[1]
        every = (await accounts.tokens.issue(user, "u", by="owner"))[1]
        async with (
            httpx.AsyncClient(
                base_url=served.url, headers={"Authorization": f"Bearer {ferns}"}, timeout=60
            ) as bound,
            httpx.AsyncClient(
                base_url=served.url, headers={"Authorization": f"Bearer {every}"}, timeout=60
            ) as free,
        ):
            for path in (_of(other), f"{ALL}?project=mosses"):
                assert (await bound.get(path)).status_code == 403
            async with (
                streaming(bound, ALL, after=0) as narrow,
                streaming(free, ALL, after=0, kind=["x.y", "user.*"]) as wide,
            ):
                for run_id in (other, "service", one):
                    await log.append(run_id, "x.y")
                taken = await asyncio.wait_for(narrow.take(2), 30)
                assert [(event["run_id"], event["kind"]) for event in taken] == [
                    (one, "run.created"),
                    (one, "x.y"),
                ]
                # What is of no project is the audit's, which an operator does not read.
                taken = await asyncio.wait_for(wide.take(2), 30)
                assert [event["run_id"] for event in taken] == [other, one]


async def test_a_stream_ends_when_its_token_is_revoked(open_served: OpenServed) -> None:
    async with open_served(jobs=0, stream_heartbeat=0.1) as served:
        accounts = served.service.access
        user = await accounts.users.add("ada", "operator", password=None, by="owner")
        made, token = await accounts.tokens.issue(user, "t", by="owner")
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=60) as http:
            async with streaming(http, ALL) as stream:
                await _until(lambda: served.service.hub.readers == OWN + 1)
                await accounts.tokens.revoke(made.id, by="owner")
                assert [event async for event in stream.events()] == []
            assert (await http.get(ALL)).status_code == 401


async def test_a_server_that_ends_lets_its_streams_end(
    open_served: OpenServed, caplog: pytest.LogCaptureFixture
) -> None:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as http:
        async with open_served(jobs=0) as served:
            stream = http.stream("GET", f"{served.url}{ALL}")
            answer = await stream.__aenter__()
        assert "timeout graceful shutdown exceeded" not in caplog.text  # so they are not cut off
        assert (await answer.aread()).startswith(b"retry: 2000\n\n")


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        (ALL, {"Last-Event-ID": "x"}, 422, "position-invalid"),
        (ALL, {"Last-Event-ID": "9" * 40}, 422, "position-invalid"),
        (ALL, {"Last-Event-ID": "7"}, 409, "position-unknown"),
        (f"{ALL}?after=-1", {}, 422, "request-invalid"),
        (_of("run-none"), {}, 404, "not-found"),
        (ALL, {"Authorization": "Bearer wrong"}, 401, "not-signed-in"),
    ],
)
async def test_what_cannot_be_streamed_is_a_problem_document(
    open_served: OpenServed, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    async with open_served(jobs=0) as served:
        answer = await served.http.get(path, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:factory:{code}")
