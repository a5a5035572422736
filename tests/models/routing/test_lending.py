"""Several processes and one account: together they keep to its limit, as its server counts it."""

import asyncio
import math
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import clock
from core.database import Database
from core.incarnation import pinned
from core.settings import Settings
from models.budget import Intent, Reservation, Spent
from models.routing.lending import Lending
from models.routing.quota import Quota, Ticket
from tests.doubles.openai_server import OpenAIServer
from tests.models.calling import say
from tests.models.conftest import toml
from tests.models.routing.conftest import KEY, MODEL, PRICED, TABLES, OpenCloud

RPM = 30
TPM = 160  # tokens; a call sets 76 aside, and takes 8
WINDOW = 2.0  # seconds, in the place of a minute


def models_file(folder: Path, server: OpenAIServer, **account: Any) -> Path:
    entry = {
        "provider": "openai", "base_url": server.url, "models": [MODEL], "key_env": "KEY_A",
        "rpm": RPM, "window_seconds": WINDOW, **account,
    }  # fmt: skip
    quick = {**TABLES["routing"], "lease_seconds": 3}
    # However slow this machine is at the moment: a request may be long on its way, and a call wait long.
    limits = {**TABLES["limits"], "connect_seconds": 10, "patience_seconds": 600, "call_seconds": 600}
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
    first, second = [await started(file, database_url, n, 30, factory_env) for n in range(2)]
    go(first)
    go(second)
    assert [await first.wait(), await second.wait()] == [0, 0]
    counted = server.counted[KEY.format(0)]
    assert (counted.requests, counted.answered) == (60, 60)
    assert server.most_in_a_window(KEY.format(0)) <= RPM


@pytest.mark.slow
async def test_a_killed_process_leaves_its_share_to_the_others_and_no_more(
    tmp_path: Path, database_url: str, factory_env: dict[str, str], server: OpenAIServer
) -> None:
    server.window = WINDOW
    file = models_file(tmp_path, server)
    first, second = [await started(file, database_url, n, 1000 - 975 * n, factory_env) for n in range(2)]
    go(first)
    while server.counted.get(KEY.format(0)) is None or server.counted[KEY.format(0)].requests < RPM:
        await asyncio.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    go(second)
    await first.wait()
    assert await second.wait() == 0
    assert server.most_in_a_window(KEY.format(0)) <= RPM


@pytest.mark.slow
async def test_two_processes_never_send_more_tokens_than_the_account_takes(
    tmp_path: Path, database_url: str, factory_env: dict[str, str], server: OpenAIServer
) -> None:
    server.window = WINDOW
    # A call sets its prompt and its longest answer aside, so that a few fill the limit.
    file = models_file(tmp_path, server, rpm=1000, tpm=TPM)
    first, second = [await started(file, database_url, n, 6, factory_env) for n in range(2)]
    go(first)
    go(second)
    assert [await first.wait(), await second.wait()] == [0, 0]
    counted = server.counted[KEY.format(0)]
    assert (counted.requests, counted.answered) == (12, 12)
    each = math.ceil((counted.input_tokens + counted.output_tokens) / counted.answered)
    assert TPM < 12 * 76, "all at once would have been too much"
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


async def test_a_process_that_stood_still_past_its_share_looks_again_before_it_sends(
    quota_pair: tuple[Quota, Quota, list[Lending]],
) -> None:
    first, _, lendings = quota_pair
    with clock.use(clock.TestClock()) as time:
        assert isinstance(time, clock.TestClock)
        ticket = await first.take(1)
        assert isinstance(ticket, Ticket)
        time.advance(29)
        assert ticket.covered
        time.advance(2)
        assert not ticket.covered, "the share was lent for 30 seconds"
        ticket.unused()
        again = await first.take(1)
        assert isinstance(again, Ticket)
        assert again.covered, "with a share of now"
        again.unused()
        for lending in lendings:
            await lending.aclose()


class Stalling:
    """A guard in whose hands the process stands still for a minute, the first time."""

    def __init__(self, time: clock.TestClock) -> None:
        self.time, self.said = time, list[str]()

    async def reserve(self, intent: Intent) -> Reservation:
        if not self.said:
            self.time.advance(60)
        self.said.append("reserve")
        return Reservation(intent)

    async def settle(self, reservation: Reservation, spent: Spent) -> None:
        self.said.append("settle")

    async def release(self, reservation: Reservation) -> None:
        self.said.append("release")


async def test_a_call_whose_room_has_lapsed_takes_room_anew_and_is_sent_once(
    cloud: OpenCloud, server: OpenAIServer, database: Database
) -> None:
    with clock.use(clock.TestClock()) as time:
        assert isinstance(time, clock.TestClock)
        guard = Stalling(time)
        models = await cloud(account={"rpm": 10}, db=database, guard=guard, routing={"lease_seconds": 30})
        reply = await say(models)
        assert reply.text
        assert server.counted[KEY.format(0)].requests == 1
        assert guard.said == ["reserve", "release", "reserve", "settle"]
        await models.aclose()


async def test_a_share_that_a_run_took_is_renewed_beyond_the_life_of_the_server_in_which_the_run_began(
    tmp_path: Path,
) -> None:
    async with Database.open(Settings(home=tmp_path)) as own:
        lending = Lending(own, 1, 1)
        quota = Quota("a requests", "requests", 10, 600, lending)
        async with own.pool.connection() as connection:
            life = pinned(connection)
        with life:
            assert await taken(quota, 3) == 3
        other = await own.connect()
        os.kill(other.info.backend_pid, signal.SIGKILL)  # the server begins anew
        with pytest.raises(psycopg.OperationalError):
            await other.execute("SELECT pg_sleep(30)")
        await other.close()
        known = quota.share.expires
        async with asyncio.timeout(20):
            while quota.share.expires <= known:
                await asyncio.sleep(0.05)
        await lending.aclose()
