"""A worktree's files from the host's side. The content is hostile: no symlink is ever followed."""

import os
import re
import secrets
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from workspace import inventory
from workspace.beneath import open_beneath, parts_of
from workspace.errors import EditFailed, FileMissing, FileTooBig, NotText, PathRefused

LARGEST = 2_000_000
"""Bytes that one file may have to be read or written here."""
_MOST_MATCHES = 500
_CACHES = ("__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".hypothesis")
_IGNORED = frozenset((*_CACHES, ".venv", "node_modules", ".git", ".factory"))
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Match:
    """A line that a search found."""

    path: str
    line: int
    """Counted from 1."""
    text: str
    """The line, at most 300 characters of it."""


class Files:
    """Reads and writes inside one worktree and nowhere else. Calls block: use them in a thread.

    Every path is relative to the worktree. PathRefused is raised for absolute paths, `..`, `.git`, control
    characters, symlinks, hard links, and what is no ordinary file.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str, *, limit: int = LARGEST) -> str:
        """The text of a file of at most `limit` bytes. Raises NotText, and what `read_bytes` raises."""
        try:
            return self.read_bytes(path, limit=limit).decode()
        except UnicodeDecodeError as error:
            raise NotText(f"{path} is not UTF-8 text") from error

    def read_bytes(self, path: str, *, limit: int = LARGEST) -> bytes:
        """The content of a file of at most `limit` bytes. Raises FileMissing, FileTooBig, PathRefused."""
        parts_of(path)
        with self._folder() as root, self._opened(root, path) as (file, size):
            if size > limit:
                raise FileTooBig(f"{path} has {size} bytes; {limit} may be read")
            content = _all(file, limit + 1)
        if len(content) > limit:
            raise FileTooBig(f"{path} grew beyond {limit} bytes while it was read")
        return content

    def write(self, path: str, text: str) -> None:
        """Make `text` the whole content of the file, with the folders it needs: at once, or not at all."""
        *folders, name = parts_of(path)
        content = text.encode("utf-8", "replace")
        if len(content) > LARGEST:
            raise FileTooBig(f"{path} would have {len(content)} bytes; {LARGEST} may be written")
        with self._folder() as root, _made(root, folders) as folder:
            mode = _writable_mode(folder, name, path)
            fresh = f".{secrets.token_hex(8)}.new"
            file = os.open(fresh, _NEW, dir_fd=folder)
            try:
                with os.fdopen(file, "wb") as stream:
                    stream.write(content)
                    os.fchmod(stream.fileno(), mode)
                # The name is replaced, whatever it is by now: nothing is written through it.
                os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException as error:
                os.unlink(fresh, dir_fd=folder)
                if isinstance(error, IsADirectoryError):
                    raise PathRefused(f"{path} is a folder") from error
                raise

    def edit(self, path: str, search: str, replace: str) -> None:
        """Replace `search`, which is in the file exactly once. Raises EditFailed, and what `read` raises."""
        text = self.read(path)
        found = text.count(search) if search else 0
        if found != 1:
            why = "is not in the file" if found == 0 else f"is in the file {found} times"
            raise EditFailed(
                f"{path}: the text to replace {why}",
                untouched="The file is as it was",
                todo="Quote enough lines, exactly as they stand, to name one place",
            )
        self.write(path, text.replace(search, replace, 1))

    def search(self, regex: str, pattern: str = "**") -> list[Match]:
        """The lines that contain the regular expression, in order, at most 500. Binary files are left out.

        Raises PathRefused for an expression that is none.
        """
        try:
            wanted = re.compile(regex)
        except re.error as error:
            raise PathRefused(f"{regex[:100]!a} is no regular expression: {error}") from error
        found: list[Match] = []
        for path in self.list(pattern):
            try:
                lines = self.read(path).splitlines()
            except (NotText, FileTooBig, FileMissing, PathRefused):
                continue
            for number, line in enumerate(lines, 1):
                if wanted.search(line[:2000]):
                    found.append(Match(path, number, line[:300]))
                    if len(found) >= _MOST_MATCHES:
                        return found
        return found

    def list(self, pattern: str = "**") -> list[str]:
        """The ordinary files whose path matches the glob, in order; tools' caches and `.git` left out.

        `*` stays within a folder, `**` does not. Raises TreeTooBig for a tree too deep to walk.
        """
        matches = matcher(pattern)
        return sorted(path for path, _ in self._all_files() if matches(path))

    def exists(self, path: str) -> bool:
        """Whether there is an ordinary file. A path that is refused is no file."""
        try:
            parts_of(path)
            with self._folder() as root, self._opened(root, path):
                return True
        except (FileMissing, PathRefused):
            return False

    def size(self, path: str) -> int:
        """Bytes of a file. Raises FileMissing and PathRefused."""
        parts_of(path)
        with self._folder() as root, self._opened(root, path) as (_, size):
            return size

    def _all_files(self) -> Iterator[tuple[str, int]]:
        for found in inventory.walk(self._root):
            if stat.S_ISREG(found.status.st_mode) and not _IGNORED.intersection(found.path.split("/")):
                yield found.path, found.status.st_size

    @contextmanager
    def _folder(self) -> Generator[int]:
        folder = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield folder
        finally:
            os.close(folder)

    @contextmanager
    def _opened(self, root: int, path: str) -> Generator[tuple[int, int]]:
        """Descriptor and size of an ordinary file."""
        try:
            # Non-blocking, or a FIFO in the place of the file would hold us for ever.
            file = open_beneath(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileMissing(f"there is no file {path}") from error
        except OSError as error:
            raise PathRefused(f"{path} cannot be opened: {error.strerror}") from error
        try:
            status = os.fstat(file)
            _ordinary(status, path)
            yield file, status.st_size
        finally:
            os.close(file)


def matcher(pattern: str) -> Callable[[str], bool]:
    """A test for paths: `*` and `?` stay within a folder, `**` goes through any number of them."""
    compiled = re.compile("".join(_glob_part(token) for token in _TOKENS.split(pattern) if token))
    return lambda path: compiled.fullmatch(path) is not None


_TOKENS = re.compile(r"(\*\*/|\*\*|\*|\?)")


def _glob_part(token: str) -> str:
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return meaning.get(token) or re.escape(token)


def _all(file: int, limit: int) -> bytes:
    content = bytearray()
    while len(content) < limit and (chunk := os.read(file, min(1 << 20, limit - len(content)))):
        content += chunk
    return bytes(content)


def _ordinary(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PathRefused(f"{path} is no ordinary file")
    if status.st_nlink > 1:
        raise PathRefused(f"{path} is a hard link: its content has another name, perhaps outside")


def _writable_mode(folder: int, name: str, path: str) -> int:
    """The mode that the new content gets: that of the file it replaces."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return 0o644
    if stat.S_ISLNK(status.st_mode):
        raise PathRefused(f"{path} is a symlink")
    _ordinary(status, path)
    return stat.S_IMODE(status.st_mode) & 0o755 | 0o600


@contextmanager
def _made(root: int, folders: Sequence[str]) -> Generator[int]:
    """Descriptor of the folder that `folders` lead to, made where it is missing."""
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    try:
        for name in folders:
            with suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=here)
            try:
                inner = open_beneath(here, name, os.O_RDONLY | os.O_DIRECTORY)
            except OSError as error:
                raise PathRefused(f"{'/'.join(folders)} is no folder: {error.strerror}") from error
            os.close(here)
            here = inner
        yield here
    finally:
        os.close(here)
