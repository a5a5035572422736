"""A real Postgres for every test: one server a test process, one fresh copy of a migrated database a test."""

import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote, urlencode
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from core import migrations
from core.database import Database
from core.postgres import OWNER, EmbeddedPostgres
from core.settings import Settings
from tests import ram
from tests.intruder import Admin, unrestrained

_TEMPLATE = "factory_template"
_JOURNEYS = {"e2e", "faults", "graph"}
# A test server loses nothing that anybody wants when the machine dies.
_IN_A_HURRY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "100",
}


def _as_url(conninfo: str) -> str:
    """A libpq conninfo as the URL that a person would set."""
    given = conninfo_to_dict(conninfo)
    login = f"{given['user']}:{quote(str(given['password']), safe='')}"
    return f"postgresql://{login}@/{given['dbname']}?" + urlencode(
        {"host": given["host"], "port": given["port"]}
    )


@pytest.fixture(autouse=True)
def _no_foreign_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own FACTORY_* variables must not change what a test sees."""
    for name in list(os.environ):
        if name.startswith("FACTORY_") and not name.startswith("FACTORY_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _uncounted(request: pytest.FixtureRequest) -> Iterator[None]:
    """Journeys are not counted in the coverage of `make test`: Python 3.11 takes half as long again to run
    what is counted, and the tests of each package pass the same lines. `make test-all` counts all."""
    counts = sys.gettrace()
    journey = request.path.relative_to(Path(__file__).parent).parts[0] in _JOURNEYS
    if counts is None or not journey or os.environ.get("FACTORY_TEST_COUNT_ALL"):
        yield
        return
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(counts)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The test server. It stops when this process is gone, however it goes."""
    with ram.folder(otherwise=tmp_path_factory.mktemp("postgres")) as home:
        server = EmbeddedPostgres.acquire(home, options=_IN_A_HURRY)
        try:
            yield server
        finally:
            server.release()
            _stopped(server)


def _stopped(server: EmbeddedPostgres) -> None:
    """Wait until a server that nobody holds has written its last."""
    until = time.monotonic() + 60
    while server.kept() and time.monotonic() < until:
        time.sleep(0.01)


@pytest.fixture(scope="session")
def _template(postgres: EmbeddedPostgres) -> str:
    with psycopg.connect(postgres.conninfo("admin", dbname="postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(_TEMPLATE), sql.Identifier(OWNER))
        )
    migrations.upgrade(postgres.conninfo("owner", dbname=_TEMPLATE))
    return _TEMPLATE


@pytest.fixture
def database_name(postgres: EmbeddedPostgres, _template: str) -> Iterator[str]:
    """A fresh, migrated database of the test server, dropped afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres.conninfo("admin", dbname="postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(_template), sql.Identifier(OWNER)
            )
        )
    try:
        yield name
    finally:  # on a connection of its own: the test may have restarted the server
        with psycopg.connect(postgres.conninfo("admin", dbname="postgres"), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, database_name: str) -> str:
    """The URL of that database, as its owner: what FACTORY_DATABASE_URL would be."""
    return _as_url(postgres.conninfo("owner", dbname=database_name))


@pytest.fixture
def service_url(postgres: EmbeddedPostgres, database_name: str) -> str:
    """The URL of that database for a login that may only append to the event log."""
    return _as_url(postgres.conninfo("service", dbname=database_name))


@pytest.fixture
def intruder(postgres: EmbeddedPostgres, database_name: str) -> Iterator[Admin]:
    """A superuser, for whom the triggers of the log are switched off."""
    with unrestrained(postgres.conninfo("admin", dbname=database_name)) as admin:
        yield admin


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings of a factory of its own: a home in the test's folder, a database of its own."""
    return Settings(home=tmp_path / ".factory", database_url=database_url)  # pyright: ignore[reportArgumentType]


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """The open database of `settings`."""
    async with Database.open(settings) as database:
        yield database


@pytest.fixture
def factory_env(settings: Settings, database_url: str) -> dict[str, str]:
    """The whole environment of a `factory` subprocess that shares `settings`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FACTORY_")}
    root = str(Path(__file__).parent.parent)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH")]))
    return env | {"FACTORY_HOME": str(settings.home), "FACTORY_DATABASE_URL": database_url}
