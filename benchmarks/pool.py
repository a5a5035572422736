"""Choosing among accounts: a pick at 5,000 of them beside one at 5, and beside LiteLLM's Router.

LiteLLM gets the same list in an environment of its own, made on first use under the user's cache folder.
Where it cannot be installed, that line is left out, and the output says so. Of ours a tenth of the accounts
is down, as on a bad day.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from typing import Any

from benchmarks.measure import Measurement
from models.catalogue import ModelSpec, load
from models.routing.deployment import Account, Deployment
from models.routing.pool import AccountPool, Need

MANY, FEW = 5_000, 5
TIMES = 20_000
LITELLM_TIMES = 30
_LITELLM = "litellm>=1.70"
_ENVIRONMENT = Path.home() / ".cache" / "factory-benchmarks" / "litellm"

_THEIRS = """
import asyncio, json, sys, time
from litellm import Router
count, times = int(sys.argv[1]), int(sys.argv[2])
router = Router(model_list=[
    {"model_name": "pool", "litellm_params": {"model": "openai/gpt-x", "api_key": f"k{n}", "rpm": 500}}
    for n in range(count)], routing_strategy="simple-shuffle")
async def main():
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await router.async_get_available_deployment(
            model="pool", request_kwargs={}, messages=[{"role": "user", "content": "x"}])
        taken.append(time.perf_counter() - began)
    print(json.dumps(taken))
asyncio.run(main())
"""


def measure() -> Iterator[Measurement]:
    """Yield the measurements: 95th percentiles, in microseconds."""
    few, many = _ours(FEW), _ours(MANY)
    yield Measurement("pick, p95, 5,000 accounts", many * 1e6, "µs", goal=100)
    yield Measurement("pick, p95, 5,000 beside 5 accounts", many * 1e6, "µs", goal=2, baseline=few * 1e6)
    theirs = _litellm(MANY)
    if theirs is None:
        print("LiteLLM could not be installed; its line is left out", file=sys.stderr)
        return
    yield Measurement(
        "pick, p95, 5,000 accounts, beside LiteLLM's Router",
        many * 1e6,
        "µs",
        goal=0.1,
        baseline=theirs * 1e6,
    )


class _Nobody:
    async def exchange(self, *_: Any, **__: Any) -> bool | None:
        raise ConnectionRefusedError


def _ours(count: int) -> float:
    catalogue = load()
    deployments = [_deployment(number, catalogue.defaults) for number in range(count)]
    pool = AccountPool("bench", deployments, catalogue.routing)
    for deployment in deployments[:: max(10, FEW)]:
        deployment.park(time.monotonic() + 3600, "down")
    need = Need(2_000, 1_024, frozenset({"tools"}))
    taken: list[float] = []
    for _ in range(TIMES):
        began = time.perf_counter()
        chosen = pool.pick(need)
        taken.append(time.perf_counter() - began)
        assert chosen is not None
    return _p95(taken)


def _deployment(number: int, spec: ModelSpec) -> Deployment:
    priced = spec.model_copy(
        update={
            "capabilities": frozenset({"tools", "format"}),
            "input_price": 1 + number % 7,
            "output_price": 5,
        }
    )
    account = Account(f"a{number}", "openai", "https://example.invalid", local=False)
    return Deployment(account, "m", priced, _Nobody(), priced=True)


def _litellm(count: int) -> float | None:
    """Seconds, or None where LiteLLM is not to be had."""
    python = _ENVIRONMENT / "bin" / "python"
    try:
        if not python.exists():
            venv.create(_ENVIRONMENT, with_pip=True)
        ready = subprocess.run([python, "-c", "import litellm"], capture_output=True, check=False)
        if ready.returncode:
            subprocess.run([python, "-m", "pip", "install", "--quiet", _LITELLM], check=True)
        said = subprocess.run(
            [python, "-c", _THEIRS, str(count), str(LITELLM_TIMES)],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return _p95(json.loads(said.stdout.strip().splitlines()[-1]))


def _p95(taken: list[float]) -> float:
    return quantiles(taken, n=20)[-1]
