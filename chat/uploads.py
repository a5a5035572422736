"""What was attached to a message: text that belongs to the requirement, or a repository to start from.

An archive is somebody else's: it is read entry by entry, with limits on number, size and names, and only
plain files come out of it. Links, devices, absolute paths and `..` are refused.
"""

from __future__ import annotations

import asyncio
import lzma
import stat
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from chat.heard import Said
from chat.threads import Sent
from core.errors import BadInput

MOST_FILES: Final = 5_000
MOST_BYTES: Final = 200_000_000
"""Of an archive, unpacked."""
MOST_TEXT: Final = 400_000
"""Bytes of a requirement's file; the requirement itself has a limit of its own."""
_ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz")
_TEXTS: Final = (".md", ".txt")
_LINE: Final = 65_536
_UNREADABLE: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    # What zipfile raises for a password; its kind NotImplementedError, for a way of packing it cannot undo.
    RuntimeError,
)
"""What comes of an archive that is broken, locked, or packed in a way that is not known here."""


class UploadRefused(BadInput):
    """The file cannot be used."""


@dataclass(frozen=True, slots=True)
class Read:
    """What the files of a message hold."""

    texts: list[str]
    repository: Path | None
    """A git repository with what the archive holds; gone when the message has been dealt with."""


@dataclass(frozen=True)
class Uploads:
    """Reads what was attached."""

    room: Path
    """A folder for what is unpacked."""

    @asynccontextmanager
    async def read(self, said: Said) -> AsyncGenerator[Read]:
        """The files' content, while it is needed. Raises UploadRefused."""
        with tempfile.TemporaryDirectory(dir=self.room, prefix="upload-") as folder:
            yield await asyncio.to_thread(read_files, said.files, Path(folder) / "repository")


def read_files(files: tuple[Sent, ...], target: Path) -> Read:
    """Read the texts, and unpack an archive to `target`. Raises UploadRefused."""
    texts: list[str] = []
    repository: Path | None = None
    for sent in files:
        name = sent.name.lower()
        if name.endswith(_TEXTS):
            texts.append(_text(sent))
        elif name.endswith(_ARCHIVES):
            if repository is not None:
                raise _refused(sent, "it is the second archive", "Send one repository at a time")
            _unpack(sent, target)
            repository = _as_repository(target)
        else:
            ends = ", ".join((*_TEXTS, *_ARCHIVES))
            raise _refused(sent, "its kind is not one of those that are understood", f"Send one of: {ends}")
    return Read(texts, repository)


def _text(sent: Sent) -> str:
    if sent.path.stat().st_size > MOST_TEXT:
        raise _refused(sent, f"it has more than {MOST_TEXT:,} bytes", "Shorten it")
    try:
        return sent.path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise _refused(sent, "it is no text in UTF-8", "Save it as plain text") from None


def _unpack(sent: Sent, target: Path) -> None:
    target.mkdir()
    try:
        if sent.name.lower().endswith(".zip"):
            _unzip(sent, target)
        else:
            _untar(sent, target)
    except _UNREADABLE as error:
        raise _refused(
            sent, f"it cannot be unpacked ({error})", "Pack it again, without a password"
        ) from None
    if not any(target.iterdir()):
        raise _refused(sent, "there is no file in it", "Pack the repository's folder")


def _unzip(sent: Sent, target: Path) -> None:
    with zipfile.ZipFile(sent.path) as archive:
        entries = archive.infolist()
        _count(sent, len(entries))
        room = _Room(sent)
        for entry in entries:
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if entry.is_dir():
                continue
            if kind not in (0, stat.S_IFREG):
                raise _refused(
                    sent, f"{entry.filename[:80]!a} is a link or a device", "Pack plain files only"
                )
            place = _place(sent, target, entry.filename)
            if place is not None:
                with archive.open(entry) as source:
                    room.copy(source, place)


def _untar(sent: Sent, target: Path) -> None:
    with tarfile.open(sent.path) as archive:
        room = _Room(sent)
        for number, entry in enumerate(archive, start=1):
            _count(sent, number)
            if entry.isdir():
                continue
            if not entry.isreg():
                raise _refused(sent, f"{entry.name[:80]!a} is a link or a device", "Pack plain files only")
            place = _place(sent, target, entry.name)
            source = archive.extractfile(entry)
            if place is not None and source is not None:
                room.copy(source, place)


def _place(sent: Sent, target: Path, name: str) -> Path | None:
    """Where an entry belongs; None for git's own files, whose hooks and settings are nobody's but ours."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\x00" in name or ":" in (path.parts or ("",))[0]:
        raise _refused(sent, f"{name[:80]!a} leads out of it", "Pack the repository's folder")
    if not path.parts or ".git" in (part.lower() for part in path.parts):
        return None
    return target.joinpath(*path.parts)


def _count(sent: Sent, number: int) -> None:
    if number > MOST_FILES:
        raise _refused(sent, f"it has more than {MOST_FILES:,} files", "Leave out what is not source")


class _Room:
    """Counts what was really unpacked: an archive's own word for its size may be a lie."""

    def __init__(self, sent: Sent) -> None:
        self._sent = sent
        self._left = MOST_BYTES

    def copy(self, source: IO[bytes], place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as target:
            for piece in _pieces(source):
                self._left -= len(piece)
                if self._left < 0:
                    raise _refused(
                        self._sent,
                        f"it has more than {MOST_BYTES // 1_000_000} MB",
                        "Leave out what is not source",
                    )
                target.write(piece)


def _pieces(source: IO[bytes]) -> Iterator[bytes]:
    while piece := source.read(_LINE):
        yield piece


def _as_repository(folder: Path) -> Path:
    """The unpacked files as the one commit of a repository; of a single folder, what is in it."""
    entries = list(folder.iterdir())
    root = entries[0] if len(entries) == 1 and entries[0].is_dir() else folder
    who = ("-c", "user.name=Factory", "-c", "user.email=factory@localhost")
    quiet = ("-c", "core.hooksPath=/dev/null", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false")
    for words in (
        ("init", "-q"),
        ("add", "-A", "-f"),
        ("commit", "-q", "--allow-empty", "-m", "As it was sent"),
    ):
        subprocess.run(["git", *who, *quiet, *words], cwd=root, check=True, capture_output=True, timeout=120)
    return root


def _refused(sent: Sent, why: str, todo: str) -> UploadRefused:
    return UploadRefused(
        f"The file {sent.name[:80]!a} is not taken: {why}", untouched="Nothing was started", todo=todo
    )
