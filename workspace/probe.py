"""Runs inside the sandbox and tries to get out. Prints one JSON object: each protection, and whether it held.

Standard library only, and read as text by `selftest.py`: it imports nothing of the factory.
Arguments: a file of the host that must not be seen, a port of the host that must not answer, the number of
processes that may be.
"""

import ctypes
import errno
import json
import mmap
import os
import platform
import signal
import socket
import sys
from collections.abc import Callable

_CAPABILITIES = ("Inh", "Prm", "Eff", "Bnd", "Amb")


def _refused(attempt: Callable[[], object], *codes: int) -> bool:
    try:
        attempt()
    except OSError as error:
        return not codes or error.errno in codes
    return False


def _status() -> dict[str, str]:
    with open("/proc/self/status") as file:
        pairs = [line.rstrip("\n").partition(":\t") for line in file]
    return {name: value for name, _, value in pairs}


def _connect(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=0.2):
        pass


def _interfaces() -> list[str]:
    with open("/proc/net/dev") as file:
        return [line.split(":")[0].strip() for line in file if ":" in line]


def _forks_end(limit: int) -> bool:
    """Whether the number of processes has an end near the limit."""
    children: list[int] = []
    ended = False
    for _ in range(limit + 8):
        try:
            child = os.fork()
        except OSError:
            ended = True
            break
        if child == 0:
            signal.pause()
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return ended


def _calls_are_filtered() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    # keyctl(KEYCTL_GET_KEYRING_ID, session): a call that anybody may make and only the filter refuses.
    number = {"x86_64": 250, "aarch64": 219}[platform.machine()]
    return libc.syscall(number, 0, -3, 0) == -1 and ctypes.get_errno() == errno.EPERM


def _no_writing(folder: str) -> bool:
    return _refused(lambda: os.close(os.open(os.path.join(folder, "probe"), os.O_CREAT | os.O_WRONLY)))


def main() -> None:
    canary, port, processes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    status = _status()
    held = {
        "files": not os.path.exists(canary) and not os.path.exists(os.path.dirname(canary)),
        "network": _refused(lambda: _connect(port)) and _interfaces() == ["lo"],
        "user": 0 not in os.getresuid() and 0 not in os.getresgid() and not os.getgroups()[1:],
        "capabilities": all(
            int(status[f"Cap{kind}"], 16) == 0 for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")
        ),
        "no_new_privileges": status["NoNewPrivs"] == "1",
        "system_read_only": all(_no_writing(folder) for folder in ("/usr", "/", "/etc", "/dev")),
        "system_calls": status["Seccomp"] == "2" and _calls_are_filtered(),
        "processes_hidden": len([name for name in os.listdir("/proc") if name.isdigit()]) < 8,
        "environment": not any(name.startswith(("FACTORY_", "AWS_", "SSH_")) for name in os.environ),
        "process_limit": _forks_end(processes),
        "memory_limit": _refused(lambda: mmap.mmap(-1, 1 << 36)),
        "terminal": _refused(lambda: os.close(os.open("/dev/tty", os.O_RDWR)), errno.ENXIO),
    }
    print(json.dumps(held))


main()
