"""The requirement as a person gives it: a text, the path of a file, or `-` for standard input."""

from __future__ import annotations

import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.errors import BadInput

LIMIT = 1_000_000
"""Bytes a requirement may have."""

_UNTOUCHED = "No run was created and nothing was changed"
_HOW = 'Give a text, the path of a text file, or - for standard input: factory run "A service that …"'


@dataclass(frozen=True, slots=True)
class Meant:
    """What a text is read for, in the words of the errors about it."""

    name: str
    untouched: str
    shorter: str
    """What to do with one that is too big."""
    how: str
    """How to give it."""


REQUIREMENT = Meant(
    "The requirement",
    _UNTOUCHED,
    "Say what is wanted in a few pages, and put the material into the repository (--repo PATH)",
    _HOW,
)


class RequirementEmpty(BadInput):
    """The requirement is empty."""


class RequirementTooBig(BadInput):
    """The requirement is larger than 1 MB."""


class RequirementNotText(BadInput):
    """The requirement is not a text in UTF-8."""


class RequirementNotFound(BadInput):
    """There is no such requirement file."""


def read(given: str) -> str:
    """The requirement's text.

    Raises RequirementEmpty, RequirementTooBig, RequirementNotText or RequirementNotFound.
    """
    if given == "-":
        if sys.stdin.isatty():
            print("Type the requirement, end it with Ctrl-D:", file=sys.stderr)
        return read_stream(sys.stdin.buffer, "standard input")
    path = _existing(given)
    if path is not None:
        return _checked(_read_file(path), str(path))
    if looks_like_path(given):
        raise RequirementNotFound(
            f"There is no file {given!r}",
            untouched=_UNTOUCHED,
            todo="Check the path; if it was meant as the requirement itself, say it in a sentence",
        )
    # The shell hands over bytes; what was not UTF-8 stands in the text as lone surrogates.
    return _checked(given.encode("utf-8", "surrogateescape"), "the text")


def read_stream(stream: BinaryIO, source: str, meant: Meant = REQUIREMENT) -> str:
    """All of `stream` as a text, with the same limits and errors as `read`, in the words of `meant`."""
    return _checked(_read_limited(stream, source, meant), source, meant)


def looks_like_path(given: str) -> bool:
    """Whether a person who typed this meant a file: then a missing one is a mistake, not a requirement."""
    if "\n" in given:
        return False
    if given.startswith(("./", "../", "~/")):
        return True
    if re.search(r"\s", given.strip()):
        # With a blank inside it is a sentence, unless it starts at the root in a folder that exists.
        return given.startswith("/") and given.count("/") > 1 and Path(given).parent.is_dir()
    return "/" in given or "\\" in given or re.search(r"\.[A-Za-z][A-Za-z0-9]{0,7}$", given) is not None


def _existing(given: str) -> Path | None:
    if not given.strip():
        return None  # Path("") is the current folder
    try:
        path = Path(given).expanduser()
        path.stat()
    except (OSError, ValueError, RuntimeError):
        # Too long for a name, a NUL inside, no such home folder: a text, then.
        return None
    return path


def _read_file(path: Path) -> bytes:
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            raise RequirementNotFound(f"{path} is a folder, not a file", untouched=_UNTOUCHED, todo=_HOW)
        with path.open("rb") as stream:
            return _read_limited(stream, str(path))
    except OSError as error:
        raise RequirementNotFound(
            f"{path} cannot be read: {error.strerror}",
            untouched=_UNTOUCHED,
            todo="Check the file's permissions",
        ) from error


def _read_limited(stream: BinaryIO, source: str, meant: Meant = REQUIREMENT) -> bytes:
    # One byte more than allowed tells "too big" without reading the rest of an endless device.
    data = stream.read(LIMIT + 1)
    _bounded(data, source, meant)
    return data


def _bounded(data: bytes, source: str, meant: Meant) -> None:
    if len(data) > LIMIT:
        raise RequirementTooBig(
            f"{meant.name} in {source} is larger than {LIMIT:,} bytes",
            untouched=meant.untouched,
            todo=meant.shorter,
        )


def _checked(data: bytes, source: str, meant: Meant = REQUIREMENT) -> str:
    _bounded(data, source, meant)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequirementNotText(
            f"{meant.name} in {source} is not UTF-8 (byte {error.start})",
            untouched=meant.untouched,
            todo="Save it as UTF-8, for example with: iconv -f latin1 -t utf-8 FILE",
        ) from None
    control = re.search(r"[\x00-\x08\x0e-\x1f]", text)
    if control is not None:
        raise RequirementNotText(
            f"{meant.name} in {source} is binary (byte 0x{ord(control.group()):02x} in it)",
            untouched=meant.untouched,
            todo=meant.how,
        )
    if not re.search(r"\w", text):
        raise RequirementEmpty(
            f"{meant.name} in {source} is empty", untouched=meant.untouched, todo=meant.how
        )
    return text.replace("\r\n", "\n").strip()
