"""The files that a commit holds, one by one or packed together, without ever being all in memory."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final, Literal

from workspace.errors import GitFailed
from workspace.git import Git
from workspace.refs import revision

_CHUNK: Final = 65_536
_MODES: Final = {"100644": "file", "100755": "program", "120000": "link"}

Kind = Literal["file", "program", "link"]
Form = Literal["tar", "zip"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a commit."""

    path: str
    kind: Kind
    """link: its content is where it points to."""
    id: str
    """Of its content: equal files have equal ids."""
    size: int
    """Bytes."""


class Artifacts:
    """Reads one repository; changes nothing."""

    def __init__(self, git: Git) -> None:
        self._git = git

    async def list(self, commit: str) -> list[Artifact]:
        """The files, links too, in the order of their paths. What lies in submodules is not here."""
        listed = await self._git("ls-tree", "-r", "-z", "-l", revision(commit))
        return [found for line in listed.names if (found := _read(line)) is not None]

    async def find(self, commit: str, path: str) -> Artifact | None:
        """The file at a path; None where there is none."""
        if "\0" in path or {"", ".", ".."} & set(path.split("/")):
            return None
        listed = (await self._git("ls-tree", "-z", "-l", "--", revision(commit), path)).names
        found = _read(listed[0]) if len(listed) == 1 else None
        return found if found is not None and found.path == path else None

    async def content(
        self, artifact: Artifact, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, without, `end`."""
        left = (artifact.size if end is None else end) - start
        async with self._git.running("cat-file", "blob", artifact.id) as process:
            assert process.stdout is not None
            while start > 0:
                start -= len(await _some(process.stdout.read(min(start, _CHUNK))))
            while left > 0:
                chunk = await _some(process.stdout.read(min(left, _CHUNK)))
                left -= len(chunk)
                yield chunk

    async def packed(self, commit: str, form: Form, folder: str) -> AsyncIterator[bytes]:
        """All files as a tar or zip, below `folder`; the same bytes for the same commit."""
        at = int((await self._git("show", "-s", "--format=%ct", revision(commit))).text)
        files = [one for one in await self.list(commit) if _is_plain(one.path)]
        async with self._contents(files) as contents:
            pack = _tar(contents, folder, at) if form == "tar" else _zip(contents, folder, at)
            async for chunk in pack:
                yield chunk

    @asynccontextmanager
    async def _contents(
        self, files: Sequence[Artifact]
    ) -> AsyncGenerator[AsyncIterator[tuple[Artifact, AsyncIterator[bytes]]]]:
        """Each file with its bytes, which must be read before the next one is."""
        async with self._git.running("cat-file", "--batch", feed=True) as process:
            stdin, stdout = process.stdin, process.stdout
            assert stdin is not None
            assert stdout is not None

            async def bytes_of(size: int) -> AsyncIterator[bytes]:
                while size > 0:
                    chunk = await _some(stdout.read(min(size, _CHUNK)))
                    size -= len(chunk)
                    yield chunk

            async def each() -> AsyncIterator[tuple[Artifact, AsyncIterator[bytes]]]:
                for one in files:
                    stdin.write(f"{one.id}\n".encode())
                    await stdin.drain()
                    await _some(stdout.readline())
                    yield one, bytes_of(one.size)
                    await stdout.readexactly(1)

            yield each()


class _Outlet(io.RawIOBase):
    """Where an archive is written to: what came since the last look."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:  # type: ignore[override]
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        return len(part)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


async def _tar(
    contents: AsyncIterator[tuple[Artifact, AsyncIterator[bytes]]], folder: str, at: int
) -> AsyncIterator[bytes]:
    async for one, chunks in contents:
        info = tarfile.TarInfo(f"{folder}/{one.path}")
        info.mtime, info.mode = at, 0o755 if one.kind == "program" else 0o644
        if one.kind == "link":
            info.type = tarfile.SYMTYPE
            info.linkname = b"".join([chunk async for chunk in chunks]).decode("utf-8", "surrogateescape")
            yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            continue
        info.size = one.size
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        async for chunk in chunks:
            yield chunk
        yield bytes(-one.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


async def _zip(
    contents: AsyncIterator[tuple[Artifact, AsyncIterator[bytes]]], folder: str, at: int
) -> AsyncIterator[bytes]:
    outlet = _Outlet()
    moment = datetime.fromtimestamp(max(at, 315_532_800), UTC)  # 1980, the first that a zip can say
    # A file-like object that cannot seek: sizes and sums follow each file.
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_DEFLATED) as pack:  # type: ignore[arg-type]
        async for one, chunks in contents:
            name = f"{folder}/{one.path}".encode("utf-8", "replace").decode()
            info = zipfile.ZipInfo(name, moment.timetuple()[:6])
            mode = {"file": 0o100644, "program": 0o100755, "link": 0o120777}[one.kind]
            info.external_attr, info.compress_type, info.create_system = mode << 16, zipfile.ZIP_DEFLATED, 3
            with pack.open(info, "w", force_zip64=True) as file:
                async for chunk in chunks:
                    file.write(chunk)
                    yield outlet.taken()
            yield outlet.taken()
    yield outlet.taken()


def _read(line: str) -> Artifact | None:
    head, _, path = line.partition("\t")
    mode, what, blob, size = head.split()
    kind = _MODES.get(mode)
    if what != "blob" or kind is None:
        return None
    return Artifact(path, kind, blob, int(size))  # type: ignore[arg-type]


def _is_plain(path: str) -> bool:
    """Whether a path leads nowhere but down: an archive is unpacked by tools that may not look."""
    parts = PurePosixPath(path).parts
    return not path.startswith("/") and ".." not in parts and "\\" not in path and ".git" not in parts


async def _some(reading: Awaitable[bytes]) -> bytes:
    chunk = await reading
    if not chunk:
        raise GitFailed("git ended before a file was whole")
    return chunk
