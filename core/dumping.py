"""The schema `factory` as one file, of one moment, and back: by Postgres's own pg_dump and pg_restore.

They come with the embedded server's wheel, for servers up to its version, and are else looked for on PATH.
The password goes by the environment, where other users cannot see it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from core.cluster import binaries
from core.errors import BadInput, FactoryError
from core.postgres import DatabaseUnavailable, PostgresMissing
from core.processes import reap
from core.redaction import redact

_VARIABLES: Final = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "options": "PGOPTIONS",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}
_STATE: Final = """
SELECT to_regnamespace('factory') IS NOT NULL AS schema, to_regrole('factory_service') IS NOT NULL AS service
"""


class DumpFailed(FactoryError):
    """The database could not be written to a file, or read from one."""


class DatabaseNotEmpty(BadInput):
    """The database holds a factory already."""

    http_status = 409


async def dump(conninfo: str, file: Path) -> None:
    """Write the schema to `file`, as it is at one moment; work goes on meanwhile. Raises DumpFailed."""
    await _run("pg_dump", conninfo, "--format=custom", "--schema=factory", "--file", os.fspath(file))


async def load(conninfo: str, file: Path, *, service: bool) -> None:
    """Bring the schema of `file` into a database that has none. All of it, or nothing.

    `service` says whether rights of the role factory_service are in it. Raises DumpFailed, DatabaseNotEmpty.
    """
    there, has_service = await state(conninfo)
    if there:
        raise DatabaseNotEmpty(
            "The database has a schema `factory` already",
            untouched="Nothing was changed",
            todo="Restore into an empty database: set FACTORY_DATABASE_URL, or another FACTORY_HOME",
        )
    if has_service and not service:
        raise DumpFailed(
            "The backup is of a database without the role factory_service, and this one has it",
            untouched="Nothing was changed",
            todo="Restore into a database of yours: set FACTORY_DATABASE_URL",
        )
    rights = [] if has_service else ["--no-acl"]
    where = str(conninfo_to_dict(conninfo).get("dbname"))
    options = ["--no-owner", "--exit-on-error", "--single-transaction", *rights, "--dbname", where]
    await _run("pg_restore", conninfo, *options, os.fspath(file))


async def state(conninfo: str) -> tuple[bool, bool]:
    """Whether there is a schema, and whether there is the service's role. Raises DatabaseUnavailable."""
    try:
        async with await psycopg.AsyncConnection.connect(conninfo) as conn:
            row = await (await conn.execute(_STATE)).fetchone()
    except psycopg.Error as error:
        raise DatabaseUnavailable(f"The database cannot be reached: {redact(str(error).strip())}") from error
    assert row is not None
    return bool(row[0]), bool(row[1])


async def _run(program: str, conninfo: str, *arguments: str) -> None:
    given = conninfo_to_dict(conninfo)
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    environment = {var: str(given[name]) for name, var in _VARIABLES.items() if given.get(name) is not None}
    process = await asyncio.create_subprocess_exec(
        _found(program),
        "--no-password",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**kept, "LC_ALL": "C", **environment},
    )
    try:
        _, said = await process.communicate()
    except BaseException:
        process.kill()
        await reap(process)
        raise
    if process.returncode != 0:
        last = " / ".join(said.decode(errors="replace").strip().splitlines()[-4:])
        raise DumpFailed(f"{program} failed: {redact(last)[:1000]}", todo="See that the server is not newer")


def _found(program: str) -> str:
    try:
        return os.fspath(binaries() / program)
    except PostgresMissing:
        found = shutil.which(program)
        if found is None:
            raise DumpFailed(
                f"There is no {program} here", todo="Install Postgres's client programs"
            ) from None
        return found
