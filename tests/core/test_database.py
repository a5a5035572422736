"""Opening a database: given or embedded, new, old, too new, gone."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from core import migrations
from core.audit import verify
from core.database import REVISIONS, Database, DatabaseTooNew, DatabaseUnavailable
from core.events import EventLog
from core.postgres import EmbeddedPostgres
from core.settings import Settings


def test_the_program_knows_the_revisions_that_its_migrations_have() -> None:
    script = migrations.script_directory()
    assert [revision.revision for revision in script.walk_revisions()][::-1] == list(REVISIONS)


async def test_the_pool_serves_as_the_service_role_in_the_factory_schema(database: Database) -> None:
    async with database.pool.connection() as connection:
        row = await (
            await connection.execute("SELECT current_user AS role, current_schema() AS schema")
        ).fetchone()
    assert row == {"role": "factory_service", "schema": "factory"}


async def test_opening_a_migrated_database_is_fast(settings: Settings) -> None:
    async with Database.open(settings):
        pass
    begin = time.monotonic()
    async with Database.open(settings):
        opened = time.monotonic()
    assert opened - begin < 1


async def test_a_newer_database_is_refused_and_not_touched(
    settings: Settings, postgres: EmbeddedPostgres, database_name: str
) -> None:
    with psycopg.connect(postgres.conninfo("admin", dbname=database_name), autocommit=True) as admin:
        admin.execute("UPDATE factory.alembic_version SET version_num = '9999'")
        with pytest.raises(DatabaseTooNew, match="9999"):
            async with Database.open(settings):
                pass
        assert admin.execute("SELECT version_num FROM factory.alembic_version").fetchone() == ("9999",)


async def test_an_unreachable_database_is_named_within_seconds_and_without_its_password() -> None:
    settings = Settings(database_url="postgresql://me:hunter2hunter2@127.0.0.1:9/x")  # pyright: ignore
    begin = time.monotonic()
    with pytest.raises(DatabaseUnavailable) as caught:
        async with Database.open(settings):
            pass
    assert time.monotonic() - begin < 60
    assert "hunter2" not in str(caught.value)


async def test_the_checkpointer_stores_as_the_service(database: Database) -> None:
    saver = await database.checkpointer()
    assert saver is await database.checkpointer()
    assert [item async for item in saver.alist({"configurable": {"thread_id": "run-1"}})] == []


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[tuple[str, str]]:
    """An empty database and a role that owns it and may do nothing else: (URL, database)."""
    name = f"empty_{uuid4().hex[:12]}"
    with psycopg.connect(postgres.conninfo("admin", dbname="postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'longpassword'")  # type: ignore[arg-type]
        admin.execute(f"CREATE DATABASE {name} OWNER {name}")  # type: ignore[arg-type]
        yield make_conninfo(postgres.conninfo(dbname=name), user=name, password="longpassword"), name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]
        admin.execute(f"DROP ROLE {name}")  # type: ignore[arg-type]


async def test_several_that_open_an_empty_database_at_once_migrate_it_once(
    empty_database: tuple[str, str], tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, database_url=empty_database[0])  # type: ignore[arg-type]

    async def use(n: int) -> int:
        async with Database.open(settings) as database:
            await database.checkpointer()
            return (await EventLog(database).append("run-1", "a.b", key=str(n))).seq

    assert sorted(await asyncio.gather(*(use(n) for n in range(4)))) == [1, 2, 3, 4]


async def test_a_role_that_may_not_make_roles_serves_itself_and_the_audit_says_so(
    empty_database: tuple[str, str], tmp_path: Path
) -> None:
    url, role = empty_database
    async with Database.open(Settings(home=tmp_path, database_url=url)) as database:  # type: ignore[arg-type]
        async with database.pool.connection() as connection:
            row = await (await connection.execute("SELECT current_user AS role")).fetchone()
        assert row == {"role": role}
        log = EventLog(database)
        await log.append("run-1", "a.b")
        report = await verify(database)
        assert (report.ok, report.protected) == (True, False)
        assert role in report.unprotected_because
        async with database.pool.connection() as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute("DELETE FROM events")


async def test_an_owner_url_migrates_and_the_other_serves_without_its_rights(
    empty_database: tuple[str, str], tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    url, name = empty_database
    service = postgres.conninfo("service", dbname=name)
    settings = Settings(home=tmp_path, database_url=service, database_owner_url=url)  # type: ignore[arg-type]
    async with Database.open(settings) as database:
        await EventLog(database).append("run-1", "a.b")
        await database.checkpointer()
        report = await verify(database)
    assert (report.ok, report.protected) == (True, True)


async def test_the_environment_for_subprocesses_opens_the_same_database(
    database: Database, factory_env: dict[str, str]
) -> None:
    program = (
        "import asyncio\n"
        "from core.database import Database\n"
        "from core.events import EventLog\n"
        "from core.settings import Settings\n"
        "async def main():\n"
        "    async with Database.open(Settings.load()) as database:\n"
        "        await EventLog(database).append('run-1', 'from.subprocess')\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=factory_env)
    assert await process.wait() == 0
    assert [event.kind for event in await EventLog(database).read("run-1")] == ["from.subprocess"]


def test_opening_loads_neither_alembic_nor_langgraph() -> None:
    program = "import sys, core.database; print({'alembic', 'sqlalchemy', 'langgraph'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert done.stdout == "set()\n"
