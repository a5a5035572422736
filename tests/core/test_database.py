"""Opening a database: given or embedded, new, old, too new, gone."""

import time

import psycopg
import pytest

from core import migrations
from core.database import REVISIONS, Database, DatabaseTooNew, DatabaseUnavailable
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
    assert time.monotonic() - begin < 8
    assert "hunter2" not in str(caught.value)


async def test_the_checkpointer_stores_as_the_service(database: Database) -> None:
    saver = await database.checkpointer()
    assert saver is await database.checkpointer()
    assert [item async for item in saver.alist({"configurable": {"thread_id": "run-1"}})] == []
