"""A routed call beside the bare LangChain model on the same played server: what the pool, its limits, the
guard and the ledger in Postgres add to the CPU time of this process. The server is another process.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median

from langchain_core.messages import HumanMessage

from benchmarks.measure import Measurement
from core.database import Database
from core.settings import Settings
from models.calls import Call
from models.service import Models

CALLS = 40
ROUNDS = 5
GOAL = 2.0  # milliseconds
_TABLES = """
[accounts.a]
provider = "openai"
base_url = "{url}"
key_env = "FACTORY_BENCH_KEY"
models = ["gpt-double"]
rpm = 100000
tpm = 1000000000
[models.gpt-double]
num_ctx = 65536
capabilities = ["tools", "format"]
input_price = 1
output_price = 2
[pools.cloud]
accounts = ["a"]
[aliases]
"factory/coder" = ["pool:cloud"]
"""


def measure() -> Iterator[Measurement]:
    """Yield the measurement."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.doubles.openai_server"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        routed, bare = asyncio.run(_measure(server.stdout.readline().strip()))
    finally:
        server.terminate()
        server.wait()
    yield Measurement(
        f"routed call, CPU added to {bare * 1e3:.1f} ms of the bare model",
        (routed - bare) * 1e3,
        "ms",
        goal=GOAL,
    )


async def _measure(url: str) -> tuple[float, float]:
    os.environ["FACTORY_BENCH_KEY"] = "sk-bench-0123456789abcdef"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        file = Path(home) / "models.toml"
        file.write_text(_TABLES.format(url=url), encoding="utf-8")
        settings = Settings(home=Path(home) / "home", models_file=file, ollama_url="http://127.0.0.1:1")
        async with Database.open(settings) as db, await Models.open(settings, db) as models:
            return await _compare(models, url)


async def _compare(models: Models, url: str) -> tuple[float, float]:
    import httpx
    from langchain_openai import ChatOpenAI

    async with httpx.AsyncClient(trust_env=False) as connections:
        bare = ChatOpenAI(
            model="gpt-double",
            base_url=url,
            api_key="sk-bench-0123456789abcdef",  # pyright: ignore[reportArgumentType]
            http_async_client=connections,
            stream_usage=True,
            use_responses_api=False,
            max_retries=0,
        )
        messages = [HumanMessage("Good morning!")]

        async def of_bare(_number: int) -> None:
            async for _ in bare.astream(messages):
                pass

        async def of_ours(number: int) -> None:
            call = Call("bench", "bench", "author", "work", f"bench/{number}")
            await models.complete("factory/coder", messages, call=call)

        taken: dict[bool, list[float]] = {True: [], False: []}
        for turn in range(ROUNDS + 1):
            for ours, ask in ((True, of_ours), (False, of_bare)):
                seconds = await _cpu(ask, turn * CALLS)
                if turn:  # the first round warms up
                    taken[ours].append(seconds)
        return median(taken[True]), median(taken[False])


async def _cpu(ask: Callable[[int], Awaitable[None]], first: int) -> float:
    """CPU seconds of one call, threads of this process included."""
    before = time.process_time()
    for number in range(first, first + CALLS):
        await ask(number)
    return (time.process_time() - before) / CALLS
