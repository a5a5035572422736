"""The embedded server: shared, started once, stopped with its last user, whatever is killed in between."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from core import postmaster
from core.database import Database
from core.events import EventLog
from core.postgres import DatabaseUnavailable, EmbeddedPostgres
from core.settings import Settings

QUICK = {"fsync": "off"}

HOLDER = """
import sys
from pathlib import Path
from core.postgres import EmbeddedPostgres
share = EmbeddedPostgres.acquire(Path(sys.argv[1]), options={"fsync": "off"})
print("held", flush=True)
sys.stdin.read()
"""


def until(holds: Callable[[], bool], limit: float = 15) -> None:
    end = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def hold(home: Path, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, os.fspath(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | env,
    )


def held(holder: subprocess.Popen[str]) -> bool:
    assert holder.stdout is not None
    return holder.stdout.readline() == "held\n"


def end(holder: subprocess.Popen[str], number: signal.Signals = signal.SIGKILL) -> None:
    holder.send_signal(number)
    holder.communicate()


def server(home: Path) -> int | None:
    return postmaster.server_pid(os.fspath(home / "postgres" / "cluster" / "data"))


def keeper(home: Path) -> int:
    pid = server(home)
    assert pid is not None
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"^PPid:\s+(\d+)", status, re.MULTILINE)[0])


def answers(share: EmbeddedPostgres) -> bool:
    try:
        with psycopg.connect(share.conninfo()) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    if (home / "postgres" / "cluster").exists():
        until(lambda: server(home) is None)


def test_four_processes_that_start_at_once_share_one_server(home: Path) -> None:
    holders = [hold(home) for _ in range(4)]
    try:
        assert all(held(holder) for holder in holders)
        pid = server(home)
        assert pid is not None
        for holder in holders[:3]:
            end(holder)
        with_one = EmbeddedPostgres.acquire(home)
        assert server(home) == pid
        with_one.release()
        assert server(home) == pid
    finally:
        for holder in holders:
            end(holder)
    until(lambda: server(home) is None)


def test_a_process_that_comes_while_the_server_stops_gets_a_server(home: Path) -> None:
    for _ in range(8):
        share = EmbeddedPostgres.acquire(home, options=QUICK)
        try:
            assert answers(share)
        finally:
            share.release()


def test_a_killed_server_comes_back_with_its_data(home: Path) -> None:
    share = EmbeddedPostgres.acquire(home)
    try:
        with psycopg.connect(share.conninfo("owner")) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
        pid = server(home)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: server(home) not in (None, pid) and answers(share))
        with psycopg.connect(share.conninfo("owner")) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (42,)
    finally:
        share.release()


def test_a_killed_server_comes_back_though_one_of_its_processes_is_busy(home: Path) -> None:
    """A statement that goes on in the memory of the server that is gone."""
    share = EmbeddedPostgres.acquire(home, options=QUICK)
    busy = psycopg.connect(share.conninfo(), autocommit=True)
    try:
        backend = busy.info.backend_pid
        busy.pgconn.send_query(b"DO $$ BEGIN LOOP END LOOP; END $$")
        pid = server(home)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: server(home) not in (None, pid) and answers(share), 60)
        until(lambda: not Path(f"/proc/{backend}").exists(), 60)
    finally:
        busy.close()
        share.release()


def test_a_killed_keeper_takes_the_server_along_and_the_next_start_brings_it_back(home: Path) -> None:
    share = EmbeddedPostgres.acquire(home, options=QUICK)
    try:
        pid = server(home)
        os.kill(keeper(home), signal.SIGKILL)
        until(lambda: not share.kept())
        share.ensure()
        assert server(home) != pid
        assert answers(share)
    finally:
        share.release()


async def test_an_open_database_outlives_its_killed_keeper(home: Path) -> None:
    async with Database.open(Settings(home=home)) as database:
        assert database.embedded
        log = EventLog(database)
        await log.append("run-1", "a.b")
        os.kill(keeper(home), signal.SIGKILL)
        until(lambda: server(home) is None)
        event = await log.append("run-1", "a.b", key="after")
        assert event.seq == 2


def test_a_stale_pid_file_that_names_a_foreign_process_is_no_server(home: Path) -> None:
    share = EmbeddedPostgres.acquire(home, options=QUICK)
    data = home / "postgres" / "cluster" / "data"
    left = (data / "postmaster.pid").read_text()
    share.release()
    until(lambda: server(home) is None and not share.kept())
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        (data / "postmaster.pid").write_text(left.replace(left.splitlines()[0], str(stranger.pid), 1))
        share = EmbeddedPostgres.acquire(home, options=QUICK)
        assert answers(share)
        share.release()
        assert stranger.poll() is None
    finally:
        stranger.communicate()


@pytest.mark.parametrize("place", ["postgres.initialised", "postgres.prepared"])
def test_a_process_that_dies_while_it_sets_up_leaves_nothing_half_made(home: Path, place: str) -> None:
    holder = hold(home, FACTORY_CRASH_AT=place)
    holder.communicate()
    assert holder.returncode == -signal.SIGKILL
    share = EmbeddedPostgres.acquire(home, options=QUICK)
    try:
        assert answers(share)
    finally:
        share.release()


def test_a_home_with_a_path_too_long_for_a_socket_works(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30) / "home"
    share = EmbeddedPostgres.acquire(home, options=QUICK)
    try:
        assert answers(share)
    finally:
        share.release()
    until(lambda: server(home) is None)


def test_nobody_gets_in_without_a_password(home: Path) -> None:
    share = EmbeddedPostgres.acquire(home, options=QUICK)
    try:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(share.conninfo("admin"), password="guess")
        for secret in (home / "postgres" / "cluster" / "secrets.json",):
            assert secret.stat().st_mode & 0o077 == 0
            assert set(json.loads(secret.read_text())) == {"admin", "owner", "service"}
    finally:
        share.release()


def test_a_home_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(DatabaseUnavailable, match="FACTORY_HOME"):
        EmbeddedPostgres.acquire(tmp_path / "home")


def test_a_server_that_cannot_start_shows_the_tail_of_its_log(home: Path) -> None:
    EmbeddedPostgres.acquire(home, options=QUICK).release()
    until(lambda: server(home) is None)
    with pytest.raises(DatabaseUnavailable, match="no_such_setting"):
        EmbeddedPostgres.acquire(home, options={"no_such_setting": "1"})


def test_data_of_another_postgres_is_not_touched(home: Path) -> None:
    EmbeddedPostgres.acquire(home, options=QUICK).release()
    until(lambda: server(home) is None)
    version = home / "postgres" / "cluster" / "data" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(DatabaseUnavailable, match="Postgres 17"):
        EmbeddedPostgres.acquire(home)
