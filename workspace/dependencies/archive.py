"""Looks at a wheel before anything unpacks it: what it is, and whether it does only what a wheel may.

A wheel is an archive from strangers. Its names, sizes and kinds are checked from its directory; its METADATA
is the only thing that is read. What it would do to every Python that sees it is refused: a file that runs at
the start, a module in the place of Python's own or of a tool that judges the product.
"""

import hashlib
import os
import re
import stat
import sys
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import IO, Final

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from workspace import licences
from workspace.licences import Licence

MOST_BYTES: Final = 300_000_000
"""Of a wheel."""
MOST_UNPACKED: Final = 1_000_000_000
"""Bytes of all files of a wheel."""
MOST_FILES: Final = 20_000

_LARGEST_METADATA = 2_000_000
_AT_START = frozenset({"sitecustomize", "usercustomize"})
_TOOLS = {
    **{"pytest": "pytest", "_pytest": "pytest", "py": "py", "coverage": "coverage", "ruff": "ruff"},
    **{"pluggy": "pluggy", "iniconfig": "iniconfig", "pygments": "pygments", "packaging": "packaging"},
}
"""Modules that the checks use → the one distribution that may bring them."""
_DATA = re.compile(r"[^/]+\.data/(purelib|platlib|data)/")


class WheelRefused(Exception):
    """A wheel that is not installed, whoever allows it; its text is the reason."""


@dataclass(frozen=True, slots=True)
class Package:
    """What is known of a wheel."""

    name: str
    """Normalised."""
    version: str
    file: str
    """The wheel's file name."""
    sha256: str
    licence: Licence
    needs: tuple[str, ...]
    """What it requires itself, as PEP 508 writes it."""
    paths: frozenset[str]
    """What it installs, as paths below the folder of modules."""


def look(path: Path) -> Package:
    """What a wheel is. Raises WheelRefused. Blocks: call it in a thread."""
    try:
        name, version, _, _ = parse_wheel_filename(path.name)
    except InvalidWheelFilename:
        raise WheelRefused("its file name is none that a wheel has") from None
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
            raise WheelRefused(f"it is no ordinary file of at most {MOST_BYTES // 1_000_000} MB")
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                paths = _checked(entries)
                metadata = _metadata(archive, entries, name)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError) as error:
            raise WheelRefused(f"it cannot be read as an archive: {error}") from None
    fields = HeaderParser().parsestr(metadata.partition("\n\n")[0] + "\n\n")
    said = canonicalize_name(str(fields.get("Name", "")))
    if said != name:
        raise WheelRefused(f"its file says {name} and its METADATA says {said[:80]!a}")
    check_modules(paths, name)
    needs = tuple(str(each)[:300] for each in fields.get_all("Requires-Dist", []))
    return Package(name, str(version), path.name, digest, licences.of_metadata(metadata), needs, paths)


def check_modules(paths: Iterable[str], distribution: str = "") -> None:
    """Raise WheelRefused for files that would act on every Python that sees them."""
    for path in paths:
        first, _, rest = path.partition("/")
        module = first if rest else first.partition(".")[0]
        if not rest and first.endswith(".pth"):
            raise WheelRefused(f"{first} would run at each start of Python (.pth)")
        if module in _AT_START:
            raise WheelRefused(f"{first} would run at each start of Python")
        if module in sys.stdlib_module_names:
            raise WheelRefused(f"{first} would stand in the place of Python's own module")
        if distribution and _TOOLS.get(module, distribution) != distribution:
            raise WheelRefused(f"{first} would stand in the place of {module}, which judges the product")


def overlapping(packages: Sequence[Package]) -> str:
    """Two packages that install the same file, in words; empty where none do."""
    owner: dict[str, str] = {}
    for package in packages:
        for path in sorted(package.paths):
            other = owner.setdefault(path, package.name)
            if other != package.name:
                return f"{other} and {package.name} both install {path}"
    return ""


def _checked(entries: Sequence[zipfile.ZipInfo]) -> frozenset[str]:
    """What the archive installs, when all of its directory is as a wheel's may be."""
    if len(entries) > MOST_FILES:
        raise WheelRefused(f"it holds more than {MOST_FILES} files")
    if sum(entry.file_size for entry in entries) > MOST_UNPACKED:
        raise WheelRefused(f"it would unpack to more than {MOST_UNPACKED // 1_000_000} MB (an archive bomb)")
    seen: set[str] = set()
    for entry in entries:
        name = entry.filename
        _check_name(entry.orig_filename)
        _check_name(name)
        if name.casefold() in seen:
            raise WheelRefused(f"it holds {name[:200]!a} twice")
        seen.add(name.casefold())
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise WheelRefused(f"{name[:200]!a} is a link or a device")
        if entry.flag_bits & 1:
            raise WheelRefused(f"{name[:200]!a} is encrypted")
    return frozenset(
        _DATA.sub("", entry.filename)
        for entry in entries
        if not entry.is_dir() and (".data/" not in entry.filename or _DATA.match(entry.filename))
    )


def _check_name(name: str) -> None:
    parts = name.removesuffix("/").split("/")
    bad = not name.isprintable() or "\\" in name or ":" in parts[0] or len(name) > 400
    if bad or any(part in ("", ".", "..") for part in parts):
        raise WheelRefused(f"{name[:200]!a} leads out of its place, or is no name")


def _metadata(archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo], name: str) -> str:
    found = [each for each in entries if each.filename.endswith(".dist-info/METADATA")]
    found = [each for each in found if each.filename.count("/") == 1]
    if len(found) != 1 or canonicalize_name(found[0].filename.partition("-")[0]) != name:
        raise WheelRefused("it has not one METADATA of its own")
    with archive.open(found[0]) as file:
        return _bounded(file).decode("utf-8", "replace").replace("\r\n", "\n")


def _bounded(file: IO[bytes]) -> bytes:
    data = file.read(_LARGEST_METADATA + 1)
    if len(data) > _LARGEST_METADATA:
        raise WheelRefused("its METADATA is longer than anybody's")
    return data
