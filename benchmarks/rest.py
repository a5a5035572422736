"""Submitting over real HTTP, to `factory serve`; each run is ended before the next is begun."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from statistics import quantiles
from uuid import uuid4

import httpx

from benchmarks.events import Server
from benchmarks.events import _server as serving  # pyright: ignore[reportPrivateUsage]
from benchmarks.measure import Measurement

TIMES = 60
PROJECT = "bench"
_PATIENCE = 60.0
"""Seconds until a run obeys."""


def measure() -> Generator[Measurement]:
    """How long a submit takes, one after the other, into a project that is there and into new ones."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, serving(Path(folder)) as server:
        yield from asyncio.run(_measure(server))


async def _measure(server: Server) -> list[Measurement]:
    headers = {"Authorization": f"Bearer {server.token}"}
    base = f"http://{server.host}:{server.port}"
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60) as http:
        await http.post("/api/v1/projects", json={"name": PROJECT})
        floor = await _p95(http, "GET", "/health", lambda _: None)
        into = await _p95(http, "POST", "/api/v1/runs", lambda _: _run(PROJECT))
        fresh = await _p95(http, "POST", "/api/v1/runs", lambda n: _run(f"{PROJECT}-{n}"))
    return [
        Measurement("submit over HTTP, p95 (a project that is there)", into, "ms", 30),
        Measurement("submit over HTTP, p95 (a new project)", fresh, "ms", 60),
        Measurement("an answer that asks nobody, p95", floor, "ms", 30),
    ]


def _run(project: str) -> dict[str, object]:
    return {"requirement": "A page about ferns", "project": project, "pipeline": "core"}


async def _end(http: httpx.AsyncClient, run_id: str) -> None:
    until = time.perf_counter() + _PATIENCE
    answer = await http.post(f"/api/v1/runs/{run_id}/cancel")
    while answer.raise_for_status().json()["status"] != "cancelled":
        assert time.perf_counter() < until, f"{run_id} does not end"
        await asyncio.sleep(0.05)
        answer = await http.get(f"/api/v1/runs/{run_id}")


async def _p95(http: httpx.AsyncClient, method: str, path: str, body: Callable[[int], object]) -> float:
    taken: list[float] = []
    for number in range(TIMES + 5):
        wanted = body(number)
        key = {} if method == "GET" else {"Idempotency-Key": str(uuid4())}
        begun = time.perf_counter()
        answer = await http.request(method, path, json=wanted, headers=key)
        taken.append((time.perf_counter() - begun) * 1000)
        answer.raise_for_status()
        if method == "POST":
            # Not to measure what other runs cost: each is ended before the next is begun.
            await _end(http, answer.json()["run_id"])
    return quantiles(taken[5:], n=20)[-1]
