"""Opens a path beneath a folder; nothing in the path can lead elsewhere, not even while it changes."""

import ctypes
import errno
import os
from functools import cache
from pathlib import PurePosixPath

from workspace.errors import PathRefused

_OPENAT2 = 437  # the same number on every architecture
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)


def parts_of(path: str) -> tuple[str, ...]:
    """The names in `path`. Raises PathRefused for what is not plainly a place inside the worktree."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/"):
        raise PathRefused(f"{path[:200]!a} is not relative to the worktree")
    if len(path.encode("utf-8", "surrogatepass")) > 1000 or not path.isprintable():
        raise PathRefused(f"{path[:200]!a} is too long or has control characters")
    if ".." in parts:
        raise PathRefused(f"{path} leads out of the worktree")
    # What some file systems take for `.git` counts as `.git`.
    if any(part.rstrip(". ").lower() in (".git", "git~1") for part in parts):
        raise PathRefused(f"{path} would be a git repository's own file")
    return parts


def open_beneath(folder: int, path: str, flags: int, mode: int = 0o644) -> int:
    """Open `path` beneath the open `folder`; the descriptor is the caller's to close.

    Raises PathRefused where any part is a symlink or leads elsewhere, and OSError as `open` does.
    """
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        if _has_openat2():
            return _openat2(folder, path, flags, mode)
        return _step_by_step(folder, path, flags, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EXDEV):
            raise PathRefused(f"{path} passes through a symlink or leads out of the worktree") from error
        raise


def _openat2(folder: int, path: str, flags: int, mode: int) -> int:
    how = _How(flags, mode if flags & os.O_CREAT else 0, _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH)
    for _ in range(8):
        opened = _libc.syscall(_OPENAT2, folder, path.encode(), ctypes.byref(how), ctypes.sizeof(how))
        if opened >= 0:
            return int(opened)
        if (code := ctypes.get_errno()) not in (errno.EAGAIN, errno.EINTR):
            raise OSError(code, os.strerror(code), path)
    raise PathRefused(f"{path} keeps changing")  # EAGAIN: renames raced with the look-up


def _step_by_step(folder: int, path: str, flags: int, mode: int) -> int:
    """For kernels before 5.6 and containers that forbid openat2: folder by folder, none of them a symlink."""
    *folders, name = PurePosixPath(path).parts
    here = os.dup(folder)
    try:
        for part in folders:
            try:
                inner = os.open(part, _FOLDER, dir_fd=here)
            except NotADirectoryError as error:
                if os.path.islink(f"/proc/self/fd/{here}/{part}"):
                    raise OSError(errno.ELOOP, "a symlink", path) from error
                raise
            os.close(here)
            here = inner
        return os.open(name, flags, mode, dir_fd=here)
    finally:
        os.close(here)


@cache
def _has_openat2() -> bool:
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.close(_openat2(root, ".", os.O_PATH | os.O_CLOEXEC, 0))
    except OSError:
        return False
    finally:
        os.close(root)
    return True
