"""What the tools for sandboxes answer."""

import hashlib

from pydantic import BaseModel

MOST_LINES = 5_000
"""Lines that one read gives."""
MOST_CHARS = 200_000
"""Characters of a file's part, or of a diff, that one answer gives."""


class SandboxInfo(BaseModel):
    """A sandbox."""

    sandbox: str
    """Its name in every other tool: `PROJECT/SANDBOX`."""
    project: str
    base: str
    """The commit that it began from, and its first snapshot."""
    snapshots: list[str] = []
    """The newest last; only those that were taken after the base."""


class FileList(BaseModel):
    """Paths, in order."""

    files: list[str]
    total: int
    """How many there are, shown or not."""


class FileText(BaseModel):
    """A text file, or a part of it."""

    path: str
    text: str
    first_line: int
    last_line: int
    total_lines: int
    truncated: bool
    """Whether the part was cut because an answer has an end."""
    sha256: str
    """Of the whole file: give it to write_file as `expected_sha256`."""


class Written(BaseModel):
    """A change that was made."""

    changed: list[str]
    snapshot_before: str
    """The snapshot that undoes it."""
    snapshot: str | None = None
    """The snapshot that holds it, where one was taken."""


class Snapshot(BaseModel):
    """A snapshot."""

    snapshot: str


class Restored(BaseModel):
    """A sandbox that is as it was."""

    snapshot: str
    snapshot_before: str
    """What the sandbox held until now."""


class Difference(BaseModel):
    """What differs, as a patch."""

    diff: str
    truncated: bool


def part_of(path: str, text: str, first_line: int, lines: int) -> FileText:
    """Lines of a file, as many as one answer gives."""
    every = text.split("\n")
    if every[-1] == "":
        every.pop()
    first = max(first_line, 1)
    part = every[first - 1 : first - 1 + max(min(lines, MOST_LINES), 1)]
    shown = "\n".join(part)
    if first == 1 and len(part) == len(every) and len(text) <= MOST_CHARS:
        shown = text  # whole, to the last byte
    return FileText(
        path=path,
        text=shown[:MOST_CHARS],
        first_line=first,
        last_line=first - 1 + len(part),
        total_lines=len(every),
        truncated=len(shown) > MOST_CHARS,
        sha256=sha256(text.encode()),
    )


def sha256(content: bytes) -> str:
    """Of a file's content, as clients compare it."""
    return hashlib.sha256(content).hexdigest()
