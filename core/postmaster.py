"""The small process that keeps the embedded Postgres, and stops it when nobody needs it any more.

Run as a script by `core.postgres` (`python -I -S postmaster.py …`): this process lives as long as the server,
so it loads nothing but a few modules of the standard library.

    keep ROOM DATA MODE SOCKETS POSTGRES [ARGUMENT…]   start the server and keep it; see `keep`
    exec MODE DIRECTORY PROGRAM [ARGUMENT…]            become the stand-in of MODE, then the program
    probe MODE DIRECTORY PROGRAM                       can the stand-in write there and run that?

MODE says who the server runs as, for Postgres refuses to be root: `self` the user as is; `map:UID` the
same user, who calls himself UID inside a user namespace, so that files stay his; `set:UID` another user.

Who holds what (all are flocks, so a SIGKILL lets go of them):
`ROOM/lock` is held shared by each process that uses the server, and taken exclusively by this process as the
sign that none is left; `ROOM/keeper.lock` is held by this process for its life. The kernel sends the server
a fast shutdown when this process dies (PR_SET_PDEATHSIG), so that no server is ever left without a keeper.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import time

PAUSE = 0.1  # seconds between two looks; also how long the server outlives its last user
START_LIMIT = 60.0  # seconds; recovery after a crash is part of the start
STOP_LIMITS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
RESTARTS, RESTART_WINDOW = 5, 60.0  # a server that dies more often than this is not started again


def become(mode: str) -> None:
    """Turn this process into the one that may run Postgres."""
    kind, _, number = mode.partition(":")
    if kind == "map":
        uid, gid = os.geteuid(), os.getegid()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(0x10000000) != 0:  # CLONE_NEWUSER
            raise OSError(ctypes.get_errno(), "unshare")
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{number} {uid} 1"),
            ("gid_map", f"{number} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    elif kind == "set":
        os.setgroups([])
        os.setgid(int(number))
        os.setuid(int(number))


def die_with_parent(parent: int) -> None:
    """Have the kernel shut this process down (fast) when its parent dies. Linux only; elsewhere a no-op."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGINT), 0, 0, 0)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)


def server_pid(data: str) -> int | None:
    """The pid of the live server of this data folder, or None. Never trusts the number alone."""
    try:
        with open(os.path.join(data, "postmaster.pid")) as file:
            pid = int(file.readline())
        if sys.platform == "linux":
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        else:
            with os.popen(f"ps -o command= -p {pid}") as file:  # noqa: S605 - a number
                words = os.fsencode(file.read()).split()
    except (OSError, ValueError):
        return None
    ours = os.path.basename(words[0]) == b"postgres" and os.fsencode(data) in words
    return pid if ours else None


def is_ready(data: str, pid: int) -> bool:
    """Whether that server of this data folder takes connections; it says so in its pid file."""
    try:
        with open(os.path.join(data, "postmaster.pid")) as file:
            lines = file.read().splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def orphans(data: str) -> list[int]:
    """What is left of a killed server of this data folder.

    A process in the middle of a long statement does not notice that the server is gone, and holds its memory:
    no other server can start.
    """
    if sys.platform != "linux":
        return []
    found: list[int] = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/comm") as file:
                ours = file.read().strip() == "postgres"
            if ours and os.path.samefile(f"/proc/{name}/cwd", data):
                found.append(int(name))
    return found


def clear_leftovers(data: str, sockets: str) -> None:
    """After a crash: end a server without a keeper, and what is left of a killed one; remove lock files that
    name foreign processes."""
    pid = server_pid(data)
    if pid is not None:
        stop(pid, data)
    end = time.monotonic() + STOP_LIMITS[-1][1]
    while (left_over := orphans(data)) and time.monotonic() < end:
        for orphan in left_over:
            with contextlib.suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)
        time.sleep(0.01)
    left = [os.path.join(data, "postmaster.pid")]
    left += [os.path.join(sockets, name) for name in (".s.PGSQL.5432", ".s.PGSQL.5432.lock")]
    for path in left:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def stop(pid: int, data: str, *, child: bool = False) -> None:
    """Shut the server down: fast, then at once, then by force."""
    for number, limit in STOP_LIMITS:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if child:
                if os.waitpid(pid, os.WNOHANG)[0]:
                    return
            elif server_pid(data) != pid:
                return
            time.sleep(0.01)


def start(data: str, mode: str, sockets: str, program: list[str]) -> int:
    """Start the server and wait until it takes connections; its pid. Raises OSError when it ends before."""
    clear_leftovers(data, sockets)
    me = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            become(mode)
            die_with_parent(me)
            os.umask(0o077)
            os.dup2(2, 1)  # stdout is the starter's pipe, which must end when the keeper has said its word
            os.execv(program[0], program)  # noqa: S606
        except BaseException as error:  # noqa: BLE001 - nothing may return into the parent's code
            os.write(2, f"postmaster: {error}\n".encode())
        os._exit(1)
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG)[0]:
            raise OSError("the server ended while it was starting")
        if is_ready(data, pid):
            return pid
        time.sleep(0.005)
    stop(pid, data, child=True)
    raise OSError(f"the server was not ready within {START_LIMIT:.0f} s")


def lock(path: str) -> int | None:
    """The descriptor of this file, exclusively locked; None when somebody else holds it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def keep(room: str, data: str, mode: str, sockets: str, program: list[str]) -> int:
    """Start the server, say `ready` on stdout, restart it if it dies, stop it when its last user is gone."""
    asked_to_stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: asked_to_stop.append(number))
    mine = lock(os.path.join(room, "keeper.lock"))
    if mine is None:
        print("kept", flush=True)
        return 0
    try:
        pid = start(data, mode, sockets, program)
    except OSError as error:
        print(f"failed {error}", flush=True)
        return 1
    print("ready", flush=True)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # the starter reads to the end of this

    deaths: list[float] = []
    alone = None
    while signal.SIGTERM not in asked_to_stop:
        alone = lock(os.path.join(room, "lock"))
        if alone is not None:
            break
        if os.waitpid(pid, os.WNOHANG)[0]:
            deaths = [moment for moment in deaths if moment > time.monotonic() - RESTART_WINDOW]
            deaths.append(time.monotonic())
            if len(deaths) > RESTARTS:
                return 1
            try:
                pid = start(data, mode, sockets, program)
            except OSError as error:
                os.write(2, f"postmaster: {error}\n".encode())
                return 1
        time.sleep(PAUSE)
    stop(pid, data, child=True)
    # In this order: who gets `lock` must find `keeper.lock` free.
    os.close(mine)
    if alone is not None:
        os.close(alone)
    return 0


def main(words: list[str]) -> int:
    """Do what the command line says."""
    if words[0] == "keep":
        room, data, mode, sockets = words[1:5]
        if os.fork():  # the starter waits for this half only, and has no zombie later
            return 0
        os.setsid()
        os.chdir("/")
        return keep(room, data, mode, sockets, words[5:])
    mode, directory, program = words[1:4]
    try:
        become(mode)
        os.chdir(directory)
    except OSError as error:
        os.write(2, f"{error}\n".encode())
        return 1
    if words[0] == "probe":
        return 0 if os.access(".", os.W_OK | os.X_OK) and os.access(program, os.X_OK) else 1
    os.execv(program, words[3:])  # noqa: S606
    return 1


if __name__ == "__main__":
    # Not sys.exit: after the fork of `keep` nothing of the interpreter's shutdown matters.
    os._exit(main(sys.argv[1:]))
