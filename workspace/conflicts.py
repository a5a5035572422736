"""Where two lines of work changed the same place: what the place is, and how it is laid out for repair."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workspace.errors import GitFailed
from workspace.git import Git

_FILES = ("100644", "100755")
_DELETED = " (deleted)"
_SIZE = 11
"""Characters of a marker: more than git's seven, so that an `edit` block, whose own divider has five to
nine, can quote a place whole."""


@dataclass(frozen=True, slots=True)
class Side:
    """A file as one side has it."""

    mode: str
    blob: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A path that two lines of work changed differently. A side is None where it has no such file."""

    path: str
    base: Side | None
    standing: Side | None
    """What is there already: main's, or the run's branch's."""
    yours: Side | None
    """What is to be merged into it."""

    @property
    def plain(self) -> bool:
        """Whether every side is an ordinary file: only then can both be laid out in one."""
        sides = [side for side in (self.base, self.standing, self.yours) if side]
        return all(side.mode in _FILES for side in sides) and (self.standing or self.yours) is not None


@dataclass(frozen=True, slots=True)
class Labels:
    """What the marker lines of a conflict say, so that they are told from lines that only look like them."""

    standing: str
    yours: str

    @property
    def base(self) -> str:
        """The common ancestor."""
        return f"before {self.standing} and {self.yours}"

    def left_in(self, text: str) -> bool:
        """Whether a marker line is left."""
        marks = (self.opening, _mark("|", self.base), self.closing)
        return any(line.startswith(marks) for line in text.splitlines())

    @property
    def opening(self) -> str:
        """How the first line of a place begins."""
        return _mark("<", self.standing)

    @property
    def closing(self) -> str:
        """How the last line of a place begins."""
        return _mark(">", self.yours)

    def places(self, text: str) -> list[str]:
        """Each place that is marked, with its marker lines, in order."""
        found: list[str] = []
        place: list[str] | None = None
        for line in text.splitlines(keepends=True):
            if line.startswith(self.opening):
                place = []
            if place is not None:
                place.append(line)
                if line.startswith(self.closing):
                    found.append("".join(place))
                    place = None
        return found


def _mark(character: str, label: str) -> str:
    return f"{character * _SIZE} {label}"


async def between(git: Git, standing: str, yours: str) -> tuple[str, list[Conflict]]:
    """The tree of a three-way merge, and its conflicts; with any, the tree means nothing in their places."""
    answer = await git("merge-tree", "--write-tree", "-z", "--no-messages", standing, yours, ok=(0, 1))
    tree, *entries = answer.names
    sides: dict[str, dict[str, Side]] = {}
    for entry in entries:
        head, _, path = entry.partition("\t")
        mode, blob, stage = head.split()
        sides.setdefault(path, {})[stage] = Side(mode, blob)
    return tree, [
        Conflict(path, found.get("1"), found.get("2"), found.get("3"))
        for path, found in sorted(sides.items())
    ]


async def lay_out(
    git: Git, tree: str, marked: Sequence[Conflict], kept: Sequence[Conflict], labels: Labels
) -> tuple[str, list[str]]:
    """`tree` with both sides and the base in the files of `marked`, and your side's in those of `kept`.

    Gives the tree, and the paths of `marked` that no text can hold (they are as on your side).
    """
    refused = [conflict.path for conflict in marked if not conflict.plain]
    changed: dict[str, Side | None] = {conflict.path: conflict.yours for conflict in (*kept, *marked)}
    for conflict in marked:
        if conflict.path in refused:
            continue
        text = await _text(git, conflict, labels)
        if text is None:
            refused.append(conflict.path)
            continue
        blob = (await git("hash-object", "-w", "--stdin", "--no-filters", stdin=text)).text if text else ""
        mode = next(side.mode for side in (conflict.yours, conflict.standing) if side)
        changed[conflict.path] = Side(mode, blob)
    return await _replaced(git, tree, changed), sorted(refused)


async def _text(git: Git, conflict: Conflict, labels: Labels) -> bytes | None:
    """The file with its marked places; None where it is not text."""
    sides = (conflict.standing, conflict.base, conflict.yours)
    texts = [(await git("cat-file", "blob", side.blob)).out if side else b"" for side in sides]
    if any(b"\0" in text for text in texts):
        return None
    if conflict.standing is None or conflict.yours is None:
        return _whole(conflict, texts, labels)
    with tempfile.TemporaryDirectory(prefix="factory-merge-") as folder:
        names = [str(Path(folder) / str(number)) for number in range(3)]
        for name, text in zip(names, texts, strict=True):
            await asyncio.to_thread(Path(name).write_bytes, text)
        said = (f"--marker-size={_SIZE}", "-L", labels.standing, "-L", labels.base, "-L", labels.yours)
        try:
            # Not zdiff3: what it takes out of a place as common to both ends one side in the other's words.
            answer = await git("merge-file", "-p", "-q", "--diff3", *said, *names, ok=range(128))
        except GitFailed:
            return None
    return answer.out


def _whole(conflict: Conflict, texts: Sequence[bytes], labels: Labels) -> bytes:
    """One side changed what the other deleted: the whole file is the place."""
    lines = [text if not text or text.endswith(b"\n") else text + b"\n" for text in texts]
    gone = [_DELETED if side is None else "" for side in (conflict.standing, conflict.yours)]
    return b"".join(
        (
            f"{labels.opening}{gone[0]}\n".encode() + lines[0],
            f"{_mark('|', labels.base)}\n".encode() + lines[1],
            b"=" * _SIZE + b"\n" + lines[2],
            f"{labels.closing}{gone[1]}\n".encode(),
        )
    )


async def _replaced(git: Git, tree: str, files: Mapping[str, Side | None]) -> str:
    """`tree` with those files in place of what it has there; None takes one away."""
    with tempfile.TemporaryDirectory(prefix="factory-index-") as folder:
        scratch = Git(git.git_dir, index=Path(folder) / "index", lock=git.lock)
        await scratch("read-tree", tree)
        lines = (f"{side.mode} {side.blob}" if side else f"0 {'0' * 40}" for side in files.values())
        entries = "".join(f"{line}\t{path}\0" for line, path in zip(lines, files, strict=True))
        await scratch("update-index", "-z", "--index-info", stdin=entries.encode("utf-8", "surrogateescape"))
        return (await scratch("write-tree")).text
