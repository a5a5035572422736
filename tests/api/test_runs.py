"""Runs over HTTP."""

from __future__ import annotations

import httpx

from tests.api.conftest import OpenServed


async def test_a_requirement_becomes_a_run_that_is_driven(open_served: OpenServed) -> None:
    async with open_served() as served:
        sent = {"requirement": "A page about ferns", "pipeline": "one", "approve_all": True}
        created = await served.http.post("/api/v1/runs", json=sent)
        assert created.status_code == 201, created.text
        run_id = created.json()["run_id"]
        async for event in served.factory.follow(run_id):
            if event.kind == "run.ended":
                break
        shown = (await served.http.get(f"/api/v1/runs/{run_id}")).json()
        assert shown["status"] == "completed"


async def test_a_run_that_is_not_there_is_a_problem_document(open_served: OpenServed) -> None:
    async with open_served() as served:
        answer = await served.http.get("/api/v1/runs/run_none")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:factory:not-found"


async def test_nobody_comes_in_without_the_token(open_served: OpenServed) -> None:
    async with open_served() as served, httpx.AsyncClient(base_url=served.url) as stranger:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-Api-Key": "wrong"}):
            answer = await stranger.get("/api/v1/runs/run_none", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        assert (await stranger.get("/health")).json() == {"status": "ok"}
