"""Requests that fit the OpenAPI document, and such that do not: none of them is the service's own fault."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from api.generating import document
from tests.api.conftest import TOKEN, OpenServed, Served
from tests.api.waiting import ASKING, asked, ended, submitted

LEFT_OUT = ("/api/v1/events/stream", "/api/v1/runs/{run_id}/events/stream")
"""Streams: they end when their client goes, not when they have answered."""


def _operations() -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict(document())
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.startswith("/api/v1/") and operation.path not in LEFT_OUT:
            yield operation


async def _known(served: Served) -> dict[str, list[str]]:
    """Names of things that there are: a path of made-up ones alone would stop at the door."""
    done, waits = await submitted(served), await submitted(served, ASKING)
    await ended(served, done)
    approval = await asked(served, waits)
    return {
        "run_id": [done, waits, "last"],
        "approval_id": [approval],
        "project": ["a-page-about-ferns", "a-page-about-ferns-2"],
        "team": ["scout", "closer"],
    }


async def _attack(served: Served, examples: int) -> list[str]:
    """Send `examples` requests to each operation; the answers that are the service's own fault."""
    loop, known = asyncio.get_running_loop(), await _known(served)
    faults: list[str] = []

    def send(case: Any) -> None:
        sent = case.as_transport_kwargs(base_url=served.url)
        for dropped in ("auth", "cert", "verify", "proxies", "timeout", "cookies"):
            sent.pop(dropped, None)
        headers = {str(name): value for name, value in dict(sent.pop("headers", {})).items()}
        headers["Authorization"] = f"Bearer {TOKEN}"
        data = sent.pop("data", None)
        if data is not None:
            sent["content"] = data if isinstance(data, str | bytes) else str(data)
        request = served.http.request(headers=headers, **sent)
        answer = asyncio.run_coroutine_threadsafe(request, loop).result(60)
        if answer.status_code >= 500:
            faults.append(f"{case.method} {sent.get('url')} {sent.get('json')!r:.300}: {answer.text[:300]}")

    def all_() -> None:
        for operation in _operations():
            for mode in GenerationMode:
                cases = operation.as_strategy(generation_mode=mode)

                @settings(
                    max_examples=examples,
                    database=None,
                    deadline=None,
                    derandomize=True,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )
                @given(case=cases, data=st.data())
                def tried(case: Any, data: Any) -> None:
                    for name, names in known.items():
                        if name in (case.path_parameters or {}) and data.draw(st.booleans()):
                            case.path_parameters[name] = data.draw(st.sampled_from(names))
                    send(case)

                tried()

    await asyncio.to_thread(all_)
    return faults


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
async def test_no_request_is_the_services_own_fault(open_served: OpenServed) -> None:
    async with open_served() as served:
        assert await _attack(served, 1) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
async def test_no_request_of_many_is_the_services_own_fault(open_served: OpenServed) -> None:
    async with open_served() as served:
        assert await _attack(served, 100) == []


async def test_a_nul_is_refused_wherever_it_stands(open_served: OpenServed) -> None:
    async with open_served() as served:
        for path in (
            "tokens?after=%00",
            "users?after=%00",
            "tokens?user=%00",
            "runs?project=%00",
            "users/%00",
        ):
            answer = await served.http.get(f"/api/v1/{path}")
            assert answer.status_code < 500, (path, answer.text)
