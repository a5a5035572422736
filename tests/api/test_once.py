"""Idempotency keys: a request that is sent again is done once."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from pydantic import TypeAdapter

from api import once
from api.app import routed
from graph.runner import Factory
from graph.summary import RunSummary
from models.errors import ModelUnavailable
from tests.api.conftest import TOKEN, OpenServed, Served, served_over_http
from tests.api.waiting import ASKING, ONE, asked, submitted
from tests.graph.conftest import PACKS

RUNS = "/api/v1/runs"


def _key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


async def _count(served: Served) -> int:
    return len((await served.http.get(RUNS)).json()["items"])


async def test_a_request_sent_again_gets_the_first_answer(open_served: OpenServed) -> None:
    async with open_served() as served:
        key = _key()
        first = await served.http.post(RUNS, json=ONE, headers=key)
        again = await served.http.post(RUNS, json=ONE, headers=key)
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.content == first.content
        assert again.headers["location"] == first.headers["location"]
        assert again.headers["idempotent-replayed"] == "true"
        assert await _count(served) == 1


async def test_two_at_one_instant_are_one(open_served: OpenServed) -> None:
    async with open_served() as served:
        key = _key()
        answers = await asyncio.gather(*(served.http.post(RUNS, json=ONE, headers=key) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["run_id"] for answer in answers}) == 1
        assert await _count(served) == 1


async def test_the_same_key_with_another_body_is_refused(open_served: OpenServed) -> None:
    async with open_served() as served:
        key = _key()
        await served.http.post(RUNS, json=ONE, headers=key)
        other = await served.http.post(RUNS, json=ONE | {"requirement": "A page about mosses"}, headers=key)
        assert (other.status_code, other.json()["type"]) == (422, "urn:factory:key-reused")
        assert await _count(served) == 1


async def test_a_request_that_was_refused_leaves_its_key_free(open_served: OpenServed) -> None:
    async with open_served() as served:
        key = _key()
        refused = await served.http.post(RUNS, json={"requirement": 7}, headers=key)
        assert refused.status_code == 422
        assert (await served.http.post(RUNS, json=ONE, headers=key)).status_code == 201


@pytest.mark.parametrize("key", ["", "a" * 256, "caf\u00e9".encode()])
async def test_a_key_that_is_none_is_refused(open_served: OpenServed, key: Any) -> None:
    async with open_served() as served:
        answer = await served.http.post(RUNS, json=ONE, headers={"Idempotency-Key": key})
        assert answer.status_code == 422
        assert await _count(served) == 0


async def test_an_answer_is_kept_for_a_day(open_served: OpenServed) -> None:
    async with open_served() as served:
        key = _key()
        first = await served.http.post(RUNS, json=ONE, headers=key)
        async with served.factory.db.pool.connection() as conn:
            await conn.execute("UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'")
        later = await served.http.post(RUNS, json=ONE, headers=key)
        assert later.json()["run_id"] != first.json()["run_id"]


@dataclass
class _Broken:
    """Tells of no run the first time, as a factory does whose database is away for a moment."""

    factory: Factory
    failed: bool = False

    async def summary(self, run_id: str) -> RunSummary:
        if not self.failed:
            self.failed = True
            raise ModelUnavailable("away")
        return await self.factory.summary(run_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.factory, name)


async def test_what_failed_in_the_middle_is_taken_up_under_the_same_name(open_served: OpenServed) -> None:
    async with open_served() as first:
        service = replace(first.service, factory=cast(Factory, _Broken(first.factory)))
        async with served_over_http(service) as served:
            key = _key()
            failed = await served.http.post(RUNS, json=ONE, headers=key)
            assert failed.status_code == 503
            made = (await served.http.get(RUNS)).json()["items"]
            again = await served.http.post(RUNS, json=ONE, headers=key)
            assert (again.status_code, again.json()["run_id"]) == (201, made[0]["run_id"])
            assert await _count(served) == 1


async def test_a_server_killed_before_it_answered_has_its_request_taken_over(
    open_served: OpenServed,
    factory_env: Mapping[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(once, "LEASE", 0.3)
    environment = {**os.environ, **factory_env, "FACTORY_HOME": str(tmp_path / "home")}
    environment |= {"FACTORY_MODEL": "offline", "FACTORY_CRASH_AT": "once.done", "FACTORY_PACK": "small"}
    environment |= {"FACTORY_PACK_DIRS": str(PACKS)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.api.alone"), env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        key = _key()
        headers = {"Authorization": f"Bearer {TOKEN}", **key}
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            with pytest.raises(httpx.HTTPError):
                await http.post(RUNS, json=ONE, headers=headers)
        assert await process.wait() == -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    async with open_served() as served:
        [made] = (await served.http.get(RUNS)).json()["items"]
        answers = await asyncio.gather(*(served.http.post(RUNS, json=ONE, headers=key) for _ in range(3)))
        assert {(answer.status_code, answer.json()["run_id"]) for answer in answers} == {
            (201, made["run_id"])
        }
        assert await _count(served) == 1


async def test_a_decision_sent_again_is_the_decision(open_served: OpenServed) -> None:
    async with open_served() as served:
        approval = await asked(served, await submitted(served, ASKING))
        key, path = _key(), f"/api/v1/approvals/{approval}/decision"
        first = await served.http.post(path, json={"decision": "approve"}, headers=key)
        again = await served.http.post(path, json={"decision": "approve"}, headers=key)
        assert (first.status_code, again.status_code) == (200, 200)
        assert again.json() == first.json()
        without = await served.http.post(path, json={"decision": "approve"})
        assert (without.status_code, without.json()["type"]) == (409, "urn:factory:already-decided")


@dataclass
class _Away:
    """A dispatch that fails once."""

    served: Served
    failed: bool = False

    async def go_on(self, run_id: str) -> None:
        if not self.failed:
            self.failed = True
            raise ModelUnavailable("away")
        await self.served.service.dispatch.go_on(run_id)


async def test_a_decision_whose_answer_was_lost_is_found_again(open_served: OpenServed) -> None:
    async with open_served() as served:
        approval = await asked(served, await submitted(served, ASKING))
        service = replace(served.service, dispatch=_Away(served))
        async with served_over_http(service) as breaking:
            key, path = _key(), f"/api/v1/approvals/{approval}/decision"
            lost = await breaking.http.post(path, json={"decision": "approve"}, headers=key)
            assert lost.status_code == 503
            again = await breaking.http.post(path, json={"decision": "approve"}, headers=key)
            assert (again.status_code, again.json()["decision"]) == (200, "approve")


def test_no_answer_that_holds_a_secret_is_kept() -> None:
    """A key's answer lies in the database for a day."""
    kept = [
        route
        for route in (context.original_route for context in iter_route_contexts(routed().routes))
        if isinstance(route, once.OnceRoute) and "POST" in (route.methods or ())
    ]
    assert len(kept) > 15
    for route in kept:
        shown = str(route.response_model and TypeAdapter(route.response_model).json_schema())
        assert not re.search(r"'(secret|token|password)'", shown), route.path
