"""A token that is bound to projects: it sees their threads and no others, and ends its streams with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.protocol import streaming
from governance.roles import Role
from tests.api.protocol.conftest import OpenProtocol, Spoken


@asynccontextmanager
async def _bound(spoken: Spoken, *projects: str, role: Role = "operator") -> AsyncIterator[httpx.AsyncClient]:
    accounts = spoken.served.service.access
    user = await accounts.users.add(f"user-{uuid4().hex[:8]}", role, password=None, by="owner")
    _, key = await accounts.tokens.issue(user, "test", by="owner", projects=[*projects] or None)
    async with httpx.AsyncClient(
        base_url=spoken.served.url, headers={"x-api-key": key}, timeout=60
    ) as client:
        yield client


async def _thread(spoken: Spoken, project: str) -> str:
    """The thread of a run in a project, which came through another surface."""
    sent = {"requirement": "A page about moss", "pipeline": "one", "project": project}
    run_id = (await spoken.http.post("/api/v1/runs", json=sent)).json()["run_id"]
    (thread,) = await spoken.client.threads.search(metadata={"factory_run": run_id})
    return str(thread["thread_id"])


async def test_another_projects_thread_is_not_there_for_a_bound_token(open_protocol: OpenProtocol) -> None:
    async with open_protocol(jobs=0) as spoken, _bound(spoken, "mine") as mallory:
        theirs = await _thread(spoken, "theirs")
        bare = (await spoken.client.threads.create())["thread_id"]
        run = await spoken.client.runs.create(theirs, "factory-one", input=None)
        answer: dict[str, Any] = {"assistant_id": "factory-one", "command": {"resume": "approve"}}
        for thread_id in (theirs, bare, str(uuid4())):
            of_run = f"/threads/{thread_id}/runs/{run['run_id']}"
            tried: list[tuple[str, str, Any]] = [
                ("GET", f"/threads/{thread_id}", None),
                ("PATCH", f"/threads/{thread_id}", {"metadata": {"mine": True}}),
                ("DELETE", f"/threads/{thread_id}", None),
                ("POST", f"/threads/{thread_id}/copy", None),
                ("GET", f"/threads/{thread_id}/state", None),
                ("POST", f"/threads/{thread_id}/history", {}),
                ("GET", f"/threads/{thread_id}/runs", None),
                ("GET", of_run, None),
                ("GET", f"{of_run}/join", None),
                ("GET", f"{of_run}/stream", None),
                ("POST", f"{of_run}/cancel", None),
                ("GET", f"/threads/{thread_id}/stream", None),
                ("POST", f"/threads/{thread_id}/stream/events", {"channels": ["values"]}),
                ("POST", f"/threads/{thread_id}/runs", answer),
                ("POST", f"/threads/{thread_id}/runs/wait", answer),
            ]
            if thread_id in (theirs, bare):
                tried.append(("POST", f"/threads/{thread_id}/commands", {"id": 1, "method": "state.get"}))
            for method, path, body in tried:
                got = await mallory.request(method, path, json=body)
                assert (got.status_code, got.json()["type"]) == (404, "urn:factory:thread-not-found"), path
        assert (await mallory.post("/threads/search", json={})).json() == []
        assert (await mallory.post("/threads/count", json={})).json() == 0
        for path in ("/runs/cancel", "/threads/prune", "/store/items/search", "/runs/crons/search"):
            assert (await mallory.post(path, json={"status": "all"})).status_code in (403, 422), path
        socket = spoken.served.url.replace("http", "ws") + f"/threads/{theirs}/stream/events"
        with pytest.raises(InvalidStatus, match="403"):
            async with connect(socket, additional_headers={"x-api-key": mallory.headers["x-api-key"]}):
                pass


async def test_a_bound_token_sees_its_projects_threads_and_submits_there_only(
    open_protocol: OpenProtocol,
) -> None:
    async with open_protocol(jobs=0) as spoken, _bound(spoken, "mine") as alice:
        mine, _ = await _thread(spoken, "mine"), await _thread(spoken, "theirs")
        assert [one["thread_id"] for one in (await alice.post("/threads/search", json={})).json()] == [mine]
        assert (await alice.get(f"/threads/{mine}")).json()["thread_id"] == mine
        assert (await alice.get(f"/threads/{mine}/state")).status_code == 200
        asked = {"requirement": "A page about ferns"}
        body = {"assistant_id": "factory-one", "input": asked}
        made = await alice.post("/runs", json=body)
        assert made.status_code == 200
        run = await spoken.served.factory.services.run(made.json()["thread_id"])
        assert run.project == "mine"
        new = str(uuid4())
        fresh = await alice.post(f"/threads/{new}/runs", json={**body, "if_not_exists": "create"})
        assert fresh.status_code == 200
        assert (await alice.get(f"/threads/{new}")).status_code == 200
        for refused in (
            {**body, "input": {**asked, "project": "theirs"}},
            {**body, "input": {**asked, "approve_all": True}},
            {"assistant_id": "slow", "input": {}},
        ):
            got = await alice.post("/runs", json=refused)
            assert (got.status_code, got.json()["type"]) == (403, "urn:factory:not-permitted")
        assert len(await spoken.served.factory.runs()) == 4


@pytest.mark.parametrize("path", ["stream", "events", "wait", "socket"])
async def test_a_stream_ends_when_its_token_does(
    open_protocol: OpenProtocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT", 0.1)
    async with open_protocol() as spoken, _bound(spoken) as client:
        thread_id = (await client.post("/threads", json={})).json()["thread_id"]
        body = {"assistant_id": "slow", "input": {"hold": True, "gate": str(tmp_path / "never")}}
        run = (await client.post(f"/threads/{thread_id}/runs", json=body)).json()
        (token,) = await spoken.served.service.access.tokens.list()
        ended = asyncio.create_task(_until_it_ends(spoken, client, thread_id, run["run_id"], path))
        await asyncio.wait({ended}, timeout=0.5)
        assert not ended.done()
        await spoken.served.service.access.tokens.revoke(token.id, by="owner")
        async with asyncio.timeout(30):
            await ended
        # What was begun goes on: only who looks on was sent away.
        assert (await spoken.client.runs.get(thread_id, run["run_id"]))["status"] == "running"
        await spoken.client.runs.cancel(thread_id, run["run_id"], wait=True)


async def _until_it_ends(
    spoken: Spoken, client: httpx.AsyncClient, thread_id: str, run_id: str, path: str
) -> None:
    at = f"/threads/{thread_id}"
    if path == "socket":
        url = spoken.served.url.replace("http", "ws") + f"{at}/stream/events"
        headers = {"x-api-key": client.headers["x-api-key"]}
        with pytest.raises(ConnectionClosed, match="1008"):
            async with connect(url, additional_headers=headers) as socket:
                await socket.recv()
        return
    place = {"stream": f"{at}/runs/{run_id}/stream", "wait": f"{at}/runs/{run_id}/join"}.get(path)
    request = (
        client.stream("POST", f"{at}/stream/events", json={"channels": ["values"]})
        if place is None
        else client.stream("GET", place, timeout=60)
    )
    async with request as response:
        async for _ in response.aiter_bytes():
            pass
