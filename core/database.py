"""The one database: given by FACTORY_DATABASE_URL, or the embedded one; migrated and ready to use."""

import asyncio
import contextlib
import importlib
import select
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, cast

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from core import clock, logs, queries, redaction
from core.errors import FactoryError
from core.incarnation import Pool, recognise
from core.postgres import DatabaseUnavailable, EmbeddedPostgres, PostgresMissing
from core.settings import Settings
from core.tasks import end

if TYPE_CHECKING:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

__all__ = ["REVISIONS", "Database", "DatabaseTooNew", "DatabaseUnavailable", "PostgresMissing"]

REVISIONS = tuple(f"{number:04}" for number in range(1, 32))
"""Every schema this program knows, oldest first. Beside `migrations/` so that opening need not load it."""

_CONNECT_LIMIT = 5  # seconds
_RECOVERY_TRIES = 100  # at least 0.1 s each, while a killed embedded server comes back
_POOL_SIZE = 10
_CHECKPOINT_POOL_SIZE = 6
_PREPARED = 500
"""Statements that a connection keeps prepared: each bank of memories has some ten of its own, and those of a
project's teams are used in turn. Of more, the driver would prepare and forget one after the other."""
_WATCH_PAUSE = 1.0  # seconds between two looks for the embedded server's keeper

logger = logs.get(__name__)


class DatabaseTooNew(FactoryError):
    """The database was written by a newer version of the factory."""

    http_status = 503


class Database:
    """An open database. `async with Database.open(settings) as db`."""

    url: str
    """How to connect as the service does, as a libpq conninfo. Secret: it has the password."""
    embedded: bool
    """Whether it is the factory's own server."""
    pool: Pool
    """Connections as the service: autocommit, rows as dicts, search_path `factory`, checked on each use."""

    def __init__(
        self, url: str, owner_url: str, *, embedded: bool, pool: Pool, stack: AsyncExitStack
    ) -> None:
        self.url = url
        self.embedded = embedded
        self.pool = pool
        self._owner_url = owner_url
        self._stack = stack
        self._checkpointer: AsyncPostgresSaver | None = None
        self._setting_up = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncGenerator[Self]:
        """Connect, migrate if needed, and close all on leaving.

        Raises DatabaseUnavailable, DatabaseTooNew, PostgresMissing, MigrationFailed.
        """
        async with AsyncExitStack() as stack:
            if settings.database_url is None:
                postgres = await _acquire(settings)
                stack.push_async_callback(asyncio.to_thread, postgres.release)
                await _until_it_answers(postgres)
                login, owner = postgres.conninfo("service"), postgres.conninfo("owner")
                watcher = asyncio.create_task(_watch(postgres), name="embedded Postgres")
                stack.push_async_callback(end, watcher)
            else:
                login = _given(settings.database_url.get_secret_value())
                owner_url = settings.database_owner_url
                owner = login if owner_url is None else _given(owner_url.get_secret_value())
            url = await _ready(login, owner)
            redaction.know(str(conninfo_to_dict(url).get("password") or ""))
            pool = await stack.enter_async_context(_open_pool(url, _POOL_SIZE))
            yield cls(url, owner, embedded=settings.database_url is None, pool=pool, stack=stack)

    @property
    def owner(self) -> str:
        """How to connect as the role that owns the schema. Secret: it has the password."""
        return self._owner_url

    async def connect(self) -> AsyncConnection[DictRow]:
        """A connection of one's own, as the service; for LISTEN. The caller closes it."""
        return await _connect(self.url)

    async def now(self, conn: AsyncConnection[DictRow] | None = None) -> datetime:
        """The database's time: for deadlines and leases, which machines whose clocks differ must agree on."""
        async with contextlib.nullcontext(conn) if conn else self.pool.connection() as own:
            row = await (await own.execute(queries.NOW)).fetchone()
        assert row is not None
        return row["now"].astimezone(UTC) + clock.ahead()

    async def check_schema(self) -> None:
        """Raise DatabaseTooNew where a newer program has migrated the database meanwhile."""
        async with self.pool.connection() as conn:
            row = await (await conn.execute(queries.VERSION)).fetchone()
        _refuse_newer(None if row is None else row["version"])

    async def own_pool(self, size: int) -> Pool:
        """A pool of its own for what must not wait for others, closed with the database."""
        return await self._stack.enter_async_context(_open_pool(self.url, size))

    async def checkpointer(self) -> "AsyncPostgresSaver":
        """LangGraph's checkpoints in this database; the same object for each caller."""
        async with self._setting_up:
            if self._checkpointer is None:
                # LangGraph costs half a second to load, and most commands never need it.
                module = cast(Any, importlib.import_module("langgraph.checkpoint.postgres.aio"))
                saver = cast("type[AsyncPostgresSaver]", module.AsyncPostgresSaver)
                async with self.pool.connection() as connection:
                    row = await (await connection.execute(queries.CHECKPOINT_VERSION)).fetchone()
                if row is None or row["version"] is None or row["version"] < len(saver.MIGRATIONS) - 1:
                    await asyncio.to_thread(_upgrade(), self._owner_url)
                pool = await self._stack.enter_async_context(_open_pool(self.url, _CHECKPOINT_POOL_SIZE))
                self._checkpointer = saver(pool)
            return self._checkpointer


def _upgrade() -> Callable[[str], None]:
    # Alembic and SQLAlchemy are loaded only where there is something to migrate.
    return importlib.import_module("core.migrations").upgrade


async def _acquire(settings: Settings) -> EmbeddedPostgres:
    task = asyncio.create_task(asyncio.to_thread(EmbeddedPostgres.acquire, settings.home))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # The thread goes on; what it acquires must not outlive this process's interest in it.
        def give_back(done: asyncio.Task[EmbeddedPostgres]) -> None:
            if not done.cancelled() and done.exception() is None:
                done.result().release()

        task.add_done_callback(give_back)
        raise


async def _until_it_answers(postgres: EmbeddedPostgres) -> None:
    """Wait while a server that was killed a moment ago is brought back; by its keeper, or by us."""
    for left in reversed(range(_RECOVERY_TRIES)):
        try:
            connection = await _connect(postgres.conninfo("service"))
        except DatabaseUnavailable:
            if left == 0:
                raise
            await asyncio.sleep(0.1)
            await asyncio.to_thread(postgres.ensure)
        else:
            await connection.close()
            return


async def _watch(postgres: EmbeddedPostgres) -> None:
    """Bring the server back when its keeper was killed; the pool's checks then find it again."""
    while True:
        await asyncio.sleep(_WATCH_PAUSE)
        if postgres.kept():
            continue
        logger.warning("the embedded Postgres has lost its keeper; starting it again")
        try:
            await asyncio.to_thread(postgres.ensure)
        except FactoryError as error:
            logger.error("the embedded Postgres did not come back", error=str(error))


def _given(url: str) -> str:
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # libpq's message would quote the URL, and the password with it.
        raise DatabaseUnavailable(
            "FACTORY_DATABASE_URL is no Postgres URL",
            todo="Write it as postgresql://user:password@host:5432/database",
        ) from None
    given.setdefault("connect_timeout", _CONNECT_LIMIT)
    return make_conninfo("", **given)


def _with_options(conninfo: str, *settings: str) -> str:
    options = " ".join([str(conninfo_to_dict(conninfo).get("options") or ""), *(f"-c {s}" for s in settings)])
    return make_conninfo(conninfo, options=options.strip())


async def _connect(conninfo: str) -> AsyncConnection[DictRow]:
    try:
        return await AsyncConnection[DictRow].connect(conninfo, autocommit=True, row_factory=dict_row)
    except psycopg.Error as error:
        raise DatabaseUnavailable(
            f"The database cannot be reached: {' '.join(str(error).split())}",
            untouched="Nothing was changed",
            todo="See that it runs and that FACTORY_DATABASE_URL is right",
        ) from error


async def _state(login: str) -> tuple[str | None, bool]:
    """The schema's version (None where there is none), and whether the service's role can be taken."""
    connection = await _connect(login)
    try:
        row = await (await connection.execute(queries.STATE)).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None, False
    except psycopg.errors.InsufficientPrivilege:
        # A role that was given no right to the schema yet: the migration grants it.
        return None, False
    except psycopg.Error as error:
        raise DatabaseUnavailable(f"The database does not answer: {str(error).strip()}") from error
    finally:
        await connection.close()
    assert row is not None
    return row["version"], row["may_serve"]


def _refuse_newer(version: str | None) -> None:
    if version is not None and version not in REVISIONS:
        raise DatabaseTooNew(
            f"The database has schema {version}, and this program knows {REVISIONS[-1]}",
            untouched="Nothing was changed",
            todo="Use the newer version of the factory that wrote it",
        )


async def _ready(login: str, owner: str) -> str:
    """Migrate what is older than this program, refuse what is newer; how the service connects."""
    version, may_serve = await _state(login)
    _refuse_newer(version)
    if version != REVISIONS[-1]:
        await asyncio.to_thread(_upgrade(), owner)
        version, may_serve = await _state(login)
        if version != REVISIONS[-1]:
            raise DatabaseUnavailable(
                "The role of FACTORY_DATABASE_URL may not read the schema `factory`",
                untouched="The schema is up to date",
                todo="Grant it the role factory_service",
            )
    settings = ["search_path=factory", *(["role=factory_service"] if may_serve else [])]
    return _with_options(login, *settings)


@asynccontextmanager
async def _open_pool(url: str, size: int) -> AsyncGenerator[Pool]:
    pool = Pool(
        url,
        connection_class=AsyncConnection[DictRow],
        kwargs={"autocommit": True, "row_factory": dict_row},
        min_size=1,
        max_size=size,
        check=_check,
        configure=_configure,
        open=False,
    )
    try:
        await pool.open(wait=True, timeout=2 * _CONNECT_LIMIT)
    except PoolTimeout as error:
        await pool.close()
        raise DatabaseUnavailable("The database does not take connections", todo="Try again") from error
    try:
        yield pool
    finally:
        await pool.close()


async def _configure(connection: AsyncConnection[DictRow]) -> None:
    connection.prepared_max = _PREPARED
    await recognise(connection)


async def _check(connection: AsyncConnection[DictRow]) -> None:
    """Whether a connection from the pool still leads to the server; raises when it does not.

    A server that ended, or was restarted, has closed its end: then the idle socket can be read. So the round
    trip of the pool's own check (a quarter of an event's cost) is made only where there is something to read.
    """
    socket = select.poll()
    socket.register(connection.fileno(), select.POLLIN)
    if socket.poll(0):
        await AsyncConnectionPool[AsyncConnection[DictRow]].check_connection(connection)  # pyright: ignore[reportArgumentType]
