"""Reads git's index, which says in one file what a snapshot is about to record."""

from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from workspace.errors import GitFailed

SYMLINK = 0o120000
SUBMODULE = 0o160000

_HEADER = Struct(">4sII")
# ctime, mtime, device, inode, mode, uid, gid, size, object id, flags
_ENTRY = Struct(">8x8x4x4xI4x4x4x20sH")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One file that git is about to record."""

    path: bytes
    mode: int
    object: str


def recorded(index: Path) -> list[Recorded]:
    """Every entry of the index at `index`, which must be of version 2, without a split or sparse part."""
    if not index.exists():
        return []
    data = index.read_bytes()
    magic, version, count = _HEADER.unpack_from(data)
    if magic != b"DIRC" or version != 2:
        raise GitFailed(f"the index {index.name} has a form that the factory does not read")
    entries: list[Recorded] = []
    at = _HEADER.size
    for _ in range(count):
        mode, name, _flags = _ENTRY.unpack_from(data, at)
        start = at + _ENTRY.size
        end = data.index(b"\0", start)
        entries.append(Recorded(data[start:end], mode, name.hex()))
        at += (end - at + 8) // 8 * 8  # padded with one to eight NULs
    return entries
