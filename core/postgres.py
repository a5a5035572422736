"""The factory's own Postgres: found in a wheel, kept under the home folder, shared by every process there.

A process that uses it holds `<home>/postgres/lock` shared for as long as it lives; `core/postmaster.py` keeps
the server and stops it when nobody holds that lock any more. Everything here blocks: call it in a thread.

    <home>/postgres/
        lock, keeper.lock, start.lock    flocks, see postmaster.py; start.lock serialises starters
        place                            where the cluster lies, when it could not lie here
        cluster/                         made under another name and renamed, so it is whole or absent
            data/                        PGDATA
            run/                         the socket, where the path is short enough for one
            secrets.json                 the passwords of the roles, 0600
            server.log
"""

import contextlib
import fcntl
import json
import os
import subprocess
import threading
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Literal, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from core import faults, postmaster
from core.cluster import (
    ADMIN,
    DatabaseUnavailable,
    PostgresMissing,
    Room,
    binaries,
    environment,
    make_socket_folder,
    mode_of,
    script,
    settle,
    socket_folder,
    tail,
)

__all__ = [
    "ADMIN",
    "DATABASE",
    "OWNER",
    "SERVICE",
    "DatabaseUnavailable",
    "EmbeddedPostgres",
    "PostgresMissing",
]

OWNER = "factory_owner"  # owns schema and tables
SERVICE = "factory_service"  # what the running factory connects as
DATABASE = "factory"

_START_LIMIT = 90.0
_START_TRIES = 3  # a keeper or a server that is killed while it starts is started again
_LOG_LIMIT = 5_000_000
_PREPARED = "prepared-2"
"""The file that says that roles, database and extensions are there; a new name has them made once more."""
_SERVER_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "unix_socket_permissions": "0700",
}


class EmbeddedPostgres:
    """A share in the embedded server. The server runs at least as long as somebody holds one."""

    def __init__(self, room: Room, lock: int, options: Mapping[str, str]) -> None:
        self._room = room
        self._lock = lock
        self._options = dict(options)
        self._passwords: dict[str, str] = {}
        self._turn = threading.Lock()  # a descriptor must not be closed while another thread locks it

    @classmethod
    def acquire(cls, home: Path, *, options: Mapping[str, str] | None = None) -> Self:
        """Make the cluster where there is none, start the server where it does not run, and hold a share.

        `options` are further server settings for a server that this call starts. Raises PostgresMissing,
        DatabaseUnavailable.
        """
        path = home / "postgres"
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DatabaseUnavailable(
                f"The folder of the embedded Postgres cannot be used: {error}",
                todo="Choose another FACTORY_HOME, or set FACTORY_DATABASE_URL",
            ) from error
        share = cls(Room(path, path / "cluster"), lock, options or {})
        try:
            share.ensure()
        except BaseException:
            share.release()
            raise
        return share

    def release(self) -> None:
        """Give the share back; the last one stops the server. May be called twice."""
        with self._turn:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def conninfo(
        self, role: Literal["admin", "owner", "service"] = "service", *, dbname: str = DATABASE
    ) -> str:
        """How to connect as that role."""
        return make_conninfo(
            host=socket_folder(self._room.data),
            port="5432",
            dbname=dbname,
            user={"admin": ADMIN, "owner": OWNER, "service": SERVICE}[role],
            password=self._passwords[role],
            connect_timeout=10,
        )

    def kept(self) -> bool:
        """Whether a keeper is at work. Cheap: one open and one flock."""
        file = os.open(self._room.path / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def ensure(self) -> None:
        """Take the share and see that the server runs; also after its keeper was killed.

        Does nothing once the share was given back.
        """
        end = time.monotonic() + _START_LIMIT
        with self._turn:
            if self._lock < 0:
                return
            # While the last keeper stops the server it holds this lock exclusively.
            _flock(self._lock, fcntl.LOCK_SH, end, "the embedded Postgres is still being stopped")
            self._see_to_it(end)

    def _see_to_it(self, end: float) -> None:
        try:
            self._serve(end)
        except OSError as error:
            raise DatabaseUnavailable(
                f"The files of the embedded Postgres cannot be used: {error}",
                untouched="Its data is as it was",
                todo=f"See to the folder {self._room.path}: its owner, its rights, its disk",
            ) from error

    def _serve(self, end: float) -> None:
        with _locked(self._room.path / "start.lock", end):
            self._room = settle(self._room)
            # More than once round only where a keeper, or who started it, was killed a moment ago.
            while not self._serving():
                if time.monotonic() > end:
                    raise DatabaseUnavailable("The embedded Postgres does not get ready", todo="Try again")
                if self.kept():
                    time.sleep(0.01)
                else:
                    self._start()
            self._passwords = json.loads((self._room.cluster / "secrets.json").read_text())
            if not (self._room.cluster / _PREPARED).exists():
                self._prepare()

    def _serving(self) -> bool:
        data = os.fspath(self._room.data)
        pid = postmaster.server_pid(data)
        return pid is not None and postmaster.is_ready(data, pid) and self.kept()

    def _start(self) -> None:
        room = self._room
        mode = mode_of(room.data)
        sockets = make_socket_folder(room, mode)
        words = [os.fspath(binaries() / "postgres"), "-D", os.fspath(room.data)]
        settings = {**_SERVER_SETTINGS, **self._options, "unix_socket_directories": f'"{sockets}"'}
        for name, value in settings.items():
            words += ["-c", f"{name}={value}"]
        with contextlib.suppress(OSError):
            if room.log.stat().st_size > _LOG_LIMIT:
                room.log.replace(room.log.with_suffix(".log.old"))
        answer = ""
        for _ in range(_START_TRIES):
            with room.log.open("ab") as log:
                os.fchmod(log.fileno(), 0o600)
                answer = (
                    subprocess.run(
                        [*script("keep"), room.path, room.data, mode, sockets, *words],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        env=environment(),
                        start_new_session=True,
                        check=False,
                    )
                    .stdout.decode()
                    .strip()
                )
            if answer in ("ready", "kept"):
                return
        why = answer.removeprefix("failed ") or "its keeper ended"
        raise DatabaseUnavailable(
            f"The embedded Postgres did not start: {why}{tail(room.log)}",
            untouched=f"Its data in {room.data} is as it was",
            todo="Free disk space or memory if that is what is missing, and try again",
        )

    def _prepare(self) -> None:
        """Make the roles and the database. Can be done twice."""
        try:
            with psycopg.connect(self.conninfo("admin", dbname="postgres"), autocommit=True) as admin:
                for role, name in (("owner", OWNER), ("service", SERVICE)):
                    known = admin.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone()
                    admin.execute(
                        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                            sql.SQL("ALTER" if known is not None else "CREATE"),
                            sql.Identifier(name),
                            sql.Literal(self._passwords[role]),
                        )
                    )
                admin.execute(
                    sql.SQL("GRANT {} TO {}").format(sql.Identifier(SERVICE), sql.Identifier(OWNER))
                )
                self._bring_vectors("template1")
                if admin.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                    admin.execute(
                        sql.SQL("CREATE DATABASE {} OWNER {}").format(
                            sql.Identifier(DATABASE), sql.Identifier(OWNER)
                        )
                    )
            self._bring_vectors(DATABASE)
        except psycopg.Error as error:
            raise DatabaseUnavailable(
                f"The embedded Postgres could not be prepared: {error}{tail(self._room.log)}",
                todo="Free disk space if that is what is missing, and try again",
            ) from error
        faults.point("postgres.prepared")
        (self._room.cluster / _PREPARED).touch()

    def _bring_vectors(self, database: str) -> None:
        """Make pgvector's types known there: only a superuser may, and the migrations run as the owner."""
        with psycopg.connect(self.conninfo("admin", dbname=database), autocommit=True) as admin:
            admin.execute("SET client_min_messages = warning")
            admin.execute("CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public")


def _flock(file: int, kind: int, end: float, why: str) -> None:
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise DatabaseUnavailable(f"Waited too long: {why}", todo="Try again") from None
            time.sleep(0.01)
        else:
            return


@contextlib.contextmanager
def _locked(path: Path, end: float) -> Generator[None]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _flock(file, fcntl.LOCK_EX, end, "another process is starting the embedded Postgres")
        yield
    finally:
        os.close(file)
