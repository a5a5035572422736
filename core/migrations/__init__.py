"""The schema of the database, and the way to it from every older one. Alembic, configured here in code."""

import time
from pathlib import Path

import psycopg
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.store.postgres import PostgresStore
from psycopg.rows import DictRow, dict_row
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from core import queries
from core.errors import FactoryError

_LOCK_LIMIT = 120.0  # seconds; another process may be migrating a large database


class MigrationFailed(FactoryError):
    """The schema of the database could not be brought up to date."""

    http_status = 503


def upgrade(conninfo: str) -> None:
    """Bring schema and checkpoint tables up to date, as the role that owns them. Blocks; safe side by side.

    The tables of the factory change in one transaction; LangGraph's own migrations follow.
    """
    try:
        with psycopg.Connection[DictRow].connect(
            conninfo, autocommit=True, row_factory=dict_row, options="-c search_path=factory"
        ) as connection:
            _lock(connection)
            try:
                _run_alembic(conninfo)
                PostgresSaver(connection).setup()
                connection.execute(queries.GRANT_CHECKPOINTS)
                connection.execute(queries.FENCE_CHECKPOINTS)
                PostgresStore(connection).setup()
                connection.execute(queries.GRANT_STORE)
            finally:
                if not connection.broken:
                    connection.execute(queries.UNLOCK_MIGRATIONS)
    except psycopg.Error as error:
        raise MigrationFailed(
            f"The schema could not be brought up to date: {str(error).strip()}",
            untouched="The tables are as they were: the migration is one transaction",
            todo="Give the role of FACTORY_DATABASE_URL the right to create a schema, or free disk space",
        ) from error


def _lock(connection: psycopg.Connection[DictRow]) -> None:
    end = time.monotonic() + _LOCK_LIMIT
    while True:
        row = connection.execute(queries.LOCK_MIGRATIONS).fetchone()
        if row is not None and row["locked"]:
            return
        if time.monotonic() > end:
            raise MigrationFailed("Another process has been migrating for two minutes", todo="Try again")
        time.sleep(0.05)


def script_directory() -> ScriptDirectory:
    """Alembic's view of the revisions in this folder."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def _run_alembic(conninfo: str) -> None:
    script = script_directory()

    def steps(revision: object, _context: MigrationContext) -> list[RevisionStep]:
        return script._upgrade_revs("head", revision)  # pyright: ignore

    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=StaticPool
    )
    try:
        with engine.begin() as connection, EnvironmentContext(Config(), script, fn=steps) as environment:
            connection.exec_driver_sql(queries.CREATE_SCHEMA)
            environment.configure(connection=connection, version_table_schema="factory")
            environment.run_migrations()
    finally:
        engine.dispose()
