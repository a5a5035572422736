"""Several processes and one account: together they keep to its limit, as its server counts it."""

import asyncio
import math
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import pytest

from core.database import Database
from models.routing.lending import Lending
from models.routing.quota import Quota, Ticket
from tests.doubles.openai_server import OpenAIServer
from tests.models.conftest import toml
from tests.models.routing.conftest import KEY, MODEL, PRICED, TABLES

RPM = 30
TPM = 160  # tokens; a call sets 76 aside, and takes 8
WINDOW = 2.0  # seconds, in the place of a minute


def models_file(folder: Path, server: OpenAIServer, **account: Any) -> Path:
    entry = {
        "provider": "openai", "base_url": server.url, "models": [MODEL], "key_env": "KEY_A",
        "rpm": RPM, "window_seconds": WINDOW, **account,
    }  # fmt: skip
    quick = {**TABLES["routing"], "lease_seconds": 3}
    limits = {**TABLES["limits"], "connect_seconds": 2, "patience_seconds": 60, "call_seconds": 60}
    tables = {**TABLES, "routing": quick, "limits": limits}
    tables["models"] = {MODEL: {**PRICED, "num_predict": 64}}
    tables |= {"accounts": {"a": entry}, "pools": {"cloud": {"accounts": ["a"]}}}
    file = folder / "models.toml"
    file.write_text(toml(tables), encoding="utf-8")
    return file


async def started(file: Path, url: str, number: int, calls: int, env: dict[str, str]) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.models.routing.worker", str(file), url, str(number), str(calls), "6",
        stdin=PIPE, stdout=PIPE, env=env | {"KEY_A": KEY.format(0)},
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


def go(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write(b"go\n")


async def test_two_processes_never_send_more_than_the_account_takes(
    tmp_path: Path, database_url: str, factory_env: dict[str, str], server: OpenAIServer
) -> None:
    server.window = WINDOW
    file = models_file(tmp_path, server)
    first, second = [await started(file, database_url, n, 40, factory_env) for n in range(2)]
    go(first)
    go(second)
    assert [await first.wait(), await second.wait()] == [0, 0]
    counted = server.counted[KEY.format(0)]
    assert (counted.requests, counted.answered) == (80, 80)
    assert server.most_in_a_window(KEY.format(0)) <= RPM
    assert server.most_in_a_window(KEY.format(0)) > RPM // 4, "the limit is used, too"


async def test_a_killed_process_leaves_its_share_to_the_others_and_no_more(
    tmp_path: Path, database_url: str, factory_env: dict[str, str], server: OpenAIServer
) -> None:
    server.window = WINDOW
    file = models_file(tmp_path, server)
    first, second = [await started(file, database_url, n, 1000 - 960 * n, factory_env) for n in range(2)]
    go(first)
    while server.counted.get(KEY.format(0)) is None or server.counted[KEY.format(0)].requests < RPM:
        await asyncio.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    go(second)
    await first.wait()
    assert await second.wait() == 0
    assert server.most_in_a_window(KEY.format(0)) <= RPM


async def test_two_processes_never_send_more_tokens_than_the_account_takes(
    tmp_path: Path, database_url: str, factory_env: dict[str, str], server: OpenAIServer
) -> None:
    server.window = WINDOW
    # A call sets its prompt and its longest answer aside, so that a few fill the limit.
    file = models_file(tmp_path, server, rpm=1000, tpm=TPM)
    first, second = [await started(file, database_url, n, 20, factory_env) for n in range(2)]
    go(first)
    go(second)
    assert [await first.wait(), await second.wait()] == [0, 0]
    counted = server.counted[KEY.format(0)]
    assert (counted.requests, counted.answered) == (40, 40)
    each = math.ceil((counted.input_tokens + counted.output_tokens) / counted.answered)
    assert 40 * each > TPM, "all at once would have been too much"
    assert server.most_in_a_window(KEY.format(0)) * each <= TPM


@pytest.fixture
def quota_pair(database: Database) -> tuple[Quota, Quota, list[Lending]]:
    lendings = [Lending(database, 30, 1) for _ in range(2)]
    first, second = (Quota("a requests", "requests", 10, 600, lending) for lending in lendings)
    return first, second, lendings


async def taken(quota: Quota, calls: int) -> int:
    return sum([isinstance(await quota.take(1), Ticket) for _ in range(calls)])


async def test_shares_never_exceed_the_limit(quota_pair: tuple[Quota, Quota, list[Lending]]) -> None:
    first, second, lendings = quota_pair
    assert await taken(first, 4) + await taken(second, 20) + await taken(first, 20) == 10
    for lending in lendings:
        await lending.aclose()


async def test_what_is_given_back_unused_is_there_at_once_and_what_was_used_is_not(
    quota_pair: tuple[Quota, Quota, list[Lending]],
) -> None:
    first, second, lendings = quota_pair
    assert await taken(first, 3) == 3
    await lendings[0].aclose()
    assert await taken(second, 20) == 7
    await lendings[1].aclose()
