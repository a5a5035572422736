"""A local database of advisories in the OSV format: a folder or a zip of JSON files, as OSV publishes them,
or of YAML files, as PyPA's advisory database has them."""

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from core.json import is_array, is_object
from workspace.checks import marked
from workspace.checks.locks import Dependency
from workspace.checks.result import one_line
from workspace.errors import WorkspaceError

_LARGEST = 4_000_000
_MOST_FILES = 500_000
_MODIFIED = re.compile(rb"""["']?modified["']?\s*:\s*["']?(\d{4}-\d\d-\d\d)""")
_SEMVER = re.compile(r"^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$")


class AdvisoriesUnreadable(WorkspaceError):
    """The database of advisories cannot be read."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A dependency for which there is an advisory."""

    dependency: Dependency
    id: str
    summary: str
    fixed: str
    """The version in which it is mended; empty where none is named."""


@dataclass
class Looked:
    """What a look into the database gave."""

    hits: list[Hit] = field(default_factory=list[Hit])
    advisories: int = 0
    """How many it holds."""
    newest: str = ""
    """The day of the newest one."""
    unreadable: int = 0


def look(database: Path, dependencies: Sequence[Dependency]) -> Looked:
    """The advisories that the dependencies are affected by. Blocks. Raises AdvisoriesUnreadable."""
    looked = Looked()
    names = {_name(each.ecosystem, each.name) for each in dependencies}
    # Tens of thousands of files: only those that name one of ours are read as JSON.
    alternatives = b"|".join(re.escape(name.encode()) for name in sorted(names))
    wanted = re.compile(alternatives.replace(b"\\-", b"[-_.]"), re.IGNORECASE)
    for name, content in _files(database):
        looked.advisories += 1
        if found := _MODIFIED.search(content):
            looked.newest = max(looked.newest, found[1].decode())
        if names and wanted.search(content):
            advisory = _parsed(name, content)
            if advisory is None:
                looked.unreadable += 1
            else:
                looked.hits += _hits(advisory, dependencies)
    if not looked.advisories:
        raise AdvisoriesUnreadable(f"{database} holds no advisory", todo="Give a folder or zip of OSV files")
    return looked


def _files(database: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if database.is_dir():
            for number, path in enumerate(sorted(database.rglob("*"))):
                if number > _MOST_FILES:
                    raise AdvisoriesUnreadable(f"{database} holds more than {_MOST_FILES} files")
                if _is_advisory(path.name) and path.is_file() and path.stat().st_size <= _LARGEST:
                    yield path.name, path.read_bytes()
            return
        with zipfile.ZipFile(database) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_FILES:
                raise AdvisoriesUnreadable(f"{database} holds more than {_MOST_FILES} files")
            for entry in entries:
                if _is_advisory(entry.filename) and entry.file_size <= _LARGEST:
                    with archive.open(entry) as file:
                        yield entry.filename, file.read(_LARGEST)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise AdvisoriesUnreadable(
            f"The database of advisories {database} cannot be read: {one_line(str(error))}",
            todo="Give FACTORY_ADVISORIES a folder or zip of OSV files",
        ) from error


def _is_advisory(name: str) -> bool:
    return name.endswith((".json", ".yaml", ".yml")) and not name.rpartition("/")[2].startswith(".")


def _parsed(name: str, content: bytes) -> dict[str, Any] | None:
    try:
        if name.endswith(".json"):
            value: Any = json.loads(content)
        else:
            value = marked.plain(marked.read(content.decode()))
    except (ValueError, RecursionError):
        return None
    return value if is_object(value) and isinstance(value.get("id"), str) else None


def _hits(advisory: dict[str, Any], dependencies: Sequence[Dependency]) -> Iterator[Hit]:
    if advisory.get("withdrawn"):
        return
    affected = advisory.get("affected")
    for each in affected if is_array(affected) else []:
        package = each.get("package") if is_object(each) else None
        if not is_object(package):
            continue
        ecosystem = str(package.get("ecosystem", "")).partition(":")[0]
        name = _name(ecosystem, str(package.get("name", "")))
        for dependency in dependencies:
            its = (dependency.ecosystem, _name(dependency.ecosystem, dependency.name))
            if its == (ecosystem, name) and _is_affected(each, dependency):
                said = advisory.get("summary") or advisory.get("details") or ""
                told = one_line(str(said))[:120]
                yield Hit(dependency, one_line(advisory["id"])[:60], told, _fixed_in(each, dependency))


def _is_affected(affected: dict[str, Any], dependency: Dependency) -> bool:
    versions = affected.get("versions")
    if is_array(versions) and dependency.version in [str(each) for each in versions]:
        return True
    return any(_in_range(events, dependency) for events in _ranges(affected))


def _ranges(affected: dict[str, Any]) -> Iterator[list[tuple[str, str]]]:
    """The events of each range of versions: what happens, and from which version on."""
    ranges = affected.get("ranges")
    for each in ranges if is_array(ranges) else []:
        events = each.get("events") if is_object(each) and each.get("type") != "GIT" else None
        yield [
            (kind, str(version))
            for event in (events if is_array(events) else [])
            if is_object(event)
            for kind, version in event.items()
        ]


def _in_range(events: list[tuple[str, str]], dependency: Dependency) -> bool:
    here = _key(dependency.ecosystem, dependency.version)
    if here is None:
        return False
    keyed = [(_key(dependency.ecosystem, version), kind) for kind, version in events]
    known = sorted((key, kind) for key, kind in keyed if key is not None)
    inside = False
    for key, kind in known:
        if kind == "introduced" and here >= key:
            inside = True
        elif (kind == "fixed" and here >= key) or (kind == "last_affected" and here > key):
            inside = False
    return inside


def _fixed_in(affected: dict[str, Any], dependency: Dependency) -> str:
    here = _key(dependency.ecosystem, dependency.version)
    fixes = [
        (key, version)
        for events in _ranges(affected)
        for kind, version in events
        if kind == "fixed" and (key := _key(dependency.ecosystem, version)) is not None
    ]
    later = sorted((key, version) for key, version in fixes if here is None or key > here)
    return one_line(later[0][1])[:40] if later else ""


def comparable(dependency: Dependency) -> bool:
    """Whether its version can be compared with those of a range."""
    return _key(dependency.ecosystem, dependency.version) is not None


def _key(ecosystem: str, version: str) -> Any:
    """Something that orders versions as their ecosystem does; None where this is none of them."""
    if ecosystem == "PyPI":
        try:
            return Version(Version(version).public)  # a build of one's own, as in 2.0+cu118, has its faults
        except InvalidVersion:
            return None
    parts = _SEMVER.match(version)
    if parts is None:
        return None
    before = [
        (0, int(each), "") if each.isdecimal() else (1, 0, each)
        for each in (parts[4].split(".") if parts[4] else [])
    ]
    return (int(parts[1]), int(parts[2] or 0), int(parts[3] or 0), not before, before)


def _name(ecosystem: str, name: str) -> str:
    return canonicalize_name(name) if ecosystem == "PyPI" else name
