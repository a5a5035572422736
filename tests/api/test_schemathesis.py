"""Requests that fit the OpenAPI document, and such that do not: none is the service's own fault, and the
document tells of each answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.generating import document
from tests.api.conftest import TOKEN, OpenServed, Served
from tests.api.waiting import ASKING, asked, ended, submitted

_CONTRACT = [status_code_conformance, content_type_conformance, response_schema_conformance]
"""An answer's status, type and content are such as the document says of the operation."""
_SHARES = 4
"""An operation may take so many times its share of the time that is left."""
_FEW = 10
"""Requests that it gets on a machine that is too slow for all."""

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


@dataclass
class _Attack:
    """Requests of all kinds, and what was wrong with the answers."""

    served: Served
    known: dict[str, list[str]]
    examples: int
    """Requests to each operation, of those that fit and of those that do not."""
    seconds: float = inf
    """After which an operation is sent no more than a few."""
    wrong: dict[str, str] = field(default_factory=dict[str, str])
    """By operation and what is wrong: the first request that showed it."""
    sent: int = 0

    def on(self, operations: Sequence[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Attack the operations, one after the other; blocks."""
        ends = monotonic() + self.seconds
        turns = [(operation, mode) for operation in operations for mode in GenerationMode]
        for number, (operation, mode) in enumerate(turns):
            # Who needs little leaves the rest of it to the others.
            share = _SHARES * (ends - monotonic()) / (len(turns) - number)
            self._one(operation.as_strategy(generation_mode=mode), loop, monotonic() + share)

    def _one(self, cases: Any, loop: asyncio.AbstractEventLoop, until: float) -> None:
        tried = 0

        @settings(
            max_examples=self.examples,
            database=None,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases, data=st.data())
        def sent(case: Any, data: Any) -> None:
            nonlocal tried
            if tried >= min(_FEW, self.examples) and monotonic() > until:
                return
            tried += 1
            for name, names in self.known.items():
                if name in (case.path_parameters or {}) and data.draw(st.booleans()):
                    case.path_parameters[name] = data.draw(st.sampled_from(names))
            self._look(case, loop)

        sent()
        self.sent += tried

    def _look(self, case: Any, loop: asyncio.AbstractEventLoop) -> None:
        sent = case.as_transport_kwargs(base_url=self.served.url)
        for dropped in ("auth", "cert", "verify", "proxies", "timeout", "cookies"):
            sent.pop(dropped, None)
        headers = {str(name): value for name, value in dict(sent.pop("headers", {})).items()}
        headers["Authorization"] = f"Bearer {TOKEN}"
        data = sent.pop("data", None)
        if data is not None:
            sent["content"] = data if isinstance(data, str | bytes) else str(data)
        request = self.served.http.request(headers=headers, **sent)
        answer = asyncio.run_coroutine_threadsafe(request, loop).result(60)
        told = f"{sent.get('url')} {sent.get('json')!r:.300}: {answer.text[:300]}"
        if answer.status_code >= 500:
            self.wrong.setdefault(f"{case.method} {case.path} {answer.status_code}", told)
        try:
            case.validate_response(answer, checks=_CONTRACT)
        except* Failure as breaches:
            for breach in breaches.exceptions:
                what = f"{case.method} {case.path} {answer.status_code} {type(breach).__name__}"
                self.wrong.setdefault(what, told)


async def _attacked(served: Served, examples: int, seconds: float = inf) -> _Attack:
    attack = _Attack(served, await _known(served), examples, seconds)
    await asyncio.to_thread(attack.on, list(_operations()), asyncio.get_running_loop())
    return attack


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
async def test_no_request_is_the_services_own_fault(open_served: OpenServed) -> None:
    async with open_served() as served:
        assert (await _attacked(served, 1)).wrong == {}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
async def test_no_request_of_many_is_the_services_own_fault(open_served: OpenServed) -> None:
    async with open_served() as served:
        attack = await _attacked(served, 100, seconds=20 * 60)
        assert attack.wrong == {}, "\n".join(f"{what}: {how}" for what, how in attack.wrong.items())


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
