"""Walks a worktree whose content is hostile: by file descriptors, never through a symlink, within limits."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workspace.errors import PathRefused, TreeTooBig

DEEPEST = 64
"""Folders within folders that a worktree may have; each costs the walk an open descriptor."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Mark = tuple[str, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one stage may add to its worktree, ignored files and folders included."""

    files: int = 5_000
    bytes: int = 200_000_000

    def beyond(self, files: int, bytes: int) -> "Limits":
        """The same, on top of what is there."""
        return Limits(self.files + files, self.bytes + bytes)


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of a folder: never a promise for later, only what it was when it was looked at."""

    folder: int
    """Open descriptor of the folder, valid until the next entry is asked for."""
    name: str
    path: str
    """Relative to the worktree."""
    status: os.stat_result


@dataclass(frozen=True, slots=True)
class Inventory:
    """What lies in a worktree at a moment."""

    files: int
    bytes: int
    marks: frozenset[Mark]
    """Path, mode, size, inode and times of everything; two equal sets mean that nothing was touched."""
    odd: bool
    """Whether there is what git neither records nor undoes: a pipe, socket or device, a file that is closed
    to its owner, or one with a second name (to change one is to change the other)."""


def walk(root: Path, *, repair: bool = False) -> Iterator[Found]:
    """Everything below `root`, folders before their content. What vanishes meanwhile is skipped.

    `repair` gives the owner back the right to enter folders and read files that took it away.
    Raises TreeTooBig for folders nested deeper than DEEPEST.
    """
    try:
        folder = os.open(root, _FOLDER)
    except PermissionError:
        if not repair:
            raise
        root.chmod(0o700)
        folder = os.open(root, _FOLDER)
    try:
        yield from _walk(folder, "", 1, repair)
    finally:
        os.close(folder)


def _walk(folder: int, prefix: str, depth: int, repair: bool) -> Iterator[Found]:
    if depth > DEEPEST:
        raise TreeTooBig(f"{shown(prefix)} is nested deeper than {DEEPEST} folders")
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except (FileNotFoundError, PermissionError):
                continue
            path = prefix + entry.name
            yield Found(folder, entry.name, path, status)
            if stat.S_ISDIR(status.st_mode):
                if repair and status.st_mode & 0o700 != 0o700:
                    _allow(folder, entry.name)
                if (inner := _enter(folder, entry.name)) is None:
                    continue
                try:
                    yield from _walk(inner, path + "/", depth + 1, repair)
                finally:
                    os.close(inner)
            elif repair and stat.S_ISREG(status.st_mode) and not status.st_mode & stat.S_IRUSR:
                _allow(folder, entry.name)


def _enter(folder: int, name: str) -> int | None:
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except OSError:  # vanished, closed to us, or no folder any more
        return None


def _allow(folder: int, name: str) -> None:
    # chmod cannot be told not to follow a symlink; by way of a descriptor it has nothing to follow.
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISLNK(mode):
            extra = 0o700 if stat.S_ISDIR(mode) else 0o600
            os.chmod(f"/proc/self/fd/{handle}", stat.S_IMODE(mode) | extra)
    finally:
        os.close(handle)


def take(root: Path, limits: Limits) -> Inventory:
    """What lies in `root`. Raises TreeTooBig over a limit and PathRefused for a `.git` anywhere."""
    files = size = 0
    odd = False
    marks: set[Mark] = set()
    for found in walk(root, repair=True):
        if found.name.lower() == ".git":
            raise PathRefused(
                f"{shown(found.path)} would be a repository inside the worktree",
                untouched="Nothing was recorded",
                todo="Remove it: the factory records the work itself",
            )
        status = found.status
        files += 1
        if stat.S_ISREG(status.st_mode):
            size += status.st_size
            odd = odd or status.st_nlink > 1 or status.st_mode & 0o600 != 0o600
        elif not (stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            odd = True
        check(files, size, limits)
        marks.add(
            (
                found.path,
                status.st_mode,
                status.st_size,
                status.st_ino,
                status.st_mtime_ns,
                status.st_ctime_ns,
            )
        )
    return Inventory(files, size, frozenset(marks), odd)


def check(files: int, size: int, limits: Limits) -> None:
    """Raise TreeTooBig where the numbers pass the limits."""
    if files > limits.files:
        raise TreeTooBig(f"the worktree holds more than {limits.files} files and folders")
    if size > limits.bytes:
        raise TreeTooBig(f"the worktree holds more than {limits.bytes // 1_000_000} MB")


def give_to(root: Path, owner: int) -> None:
    """Make `owner` the owner of everything in `root`; for a factory that runs as root."""
    if root.stat().st_uid != owner:
        os.chown(root, owner, owner, follow_symlinks=False)
    for found in walk(root):
        if found.status.st_uid != owner:
            try:
                os.chown(found.name, owner, owner, dir_fd=found.folder, follow_symlinks=False)
            except FileNotFoundError:
                continue


def shown(path: str | bytes) -> str:
    """A hostile path as one safe line."""
    text = path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")
    return ascii(text[:200])
