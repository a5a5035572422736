"""What a product depends on, with the version that is fixed: from the lock files of three ecosystems."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from core.json import is_array, is_object
from workspace.checks.result import one_line
from workspace.dependencies import declared
from workspace.errors import WorkspaceError
from workspace.files import Files

Ecosystem = Literal["PyPI", "npm", "Go"]

MOST = 5_000
"""Dependencies that are looked at."""


@dataclass(frozen=True, slots=True, order=True)
class Dependency:
    """One thing that the product depends on."""

    ecosystem: Ecosystem
    name: str
    version: str
    """Empty where none is fixed."""
    file: str
    licence: str = ""
    """What its lock file says of its licence; most say nothing."""


@dataclass(frozen=True, slots=True)
class Locked:
    """All of it, and the files that cannot be read."""

    dependencies: tuple[Dependency, ...]
    problems: tuple[tuple[str, str], ...]


def read(files: Files) -> Locked:
    """What the worktree's files say; what a lock file fixes is not told of again without a version."""
    found: set[Dependency] = set()
    problems: list[tuple[str, str]] = []
    for path in files.list():
        reader = _READERS.get(path.rpartition("/")[2])
        if reader is None:
            continue
        try:
            found |= {each for each in reader(files.read(path), path) if len(found) < MOST}
        except (WorkspaceError, ValueError, RecursionError) as error:
            problems.append((path, one_line(str(error)) or "cannot be read"))
    wanted = declared.read(files)
    problems += [(where, one_line(why)) for where, why in wanted.problems]
    fixed = {(each.ecosystem, each.name) for each in found if each.version}
    for each in wanted.wanted:
        version = _fixed(each.requirement)
        if version or ("PyPI", each.name) not in fixed:
            found.add(Dependency("PyPI", each.name, version, each.file))
    return Locked(tuple(sorted(found)), tuple(problems))


def _fixed(requirement: str) -> str:
    try:
        parsed = Requirement(requirement)
    except InvalidRequirement:
        return ""
    pins = [each.version for each in parsed.specifier if each.operator in ("==", "===")]
    return pins[0] if pins and "*" not in pins[0] else ""


def _python_lock(text: str, path: str) -> Iterator[Dependency]:
    """uv.lock, poetry.lock and pdm.lock have `[[package]]`, pylock.toml (PEP 751) `[[packages]]`."""
    document: dict[str, Any] = tomllib.loads(text)
    for key in ("package", "packages"):
        listed = document.get(key)
        for each in listed if is_array(listed) else []:
            source = each.get("source") if is_object(each) else None
            own = is_object(source) and bool({"virtual", "editable"} & source.keys())
            if is_object(each) and isinstance(each.get("name"), str) and not own:
                name, version = canonicalize_name(each["name"]), str(each.get("version", ""))
                yield Dependency("PyPI", one_line(name), one_line(version), path)


def _npm_lock(text: str, path: str) -> Iterator[Dependency]:
    document = json.loads(text)
    packages = document.get("packages") if is_object(document) else None
    if packages is None:
        yield from _npm_lock_of_old(document, path)
    for place, each in packages.items() if is_object(packages) else ():
        if "node_modules/" not in place or not is_object(each) or each.get("link"):
            continue
        name, licence = place.rpartition("node_modules/")[2], each.get("license")
        said = licence if isinstance(licence, str) else ""
        version = str(each.get("version", ""))
        yield Dependency("npm", one_line(name), one_line(version), path, one_line(said))


def _npm_lock_of_old(document: Any, path: str) -> Iterator[Dependency]:
    """The first version of the format, npm 6 and before: `dependencies`, each with those below it."""
    waiting = [document] if is_object(document) else []
    while waiting:
        below = waiting.pop().get("dependencies")
        for name, each in below.items() if is_object(below) else ():
            if is_object(each):
                waiting.append(each)
                yield Dependency("npm", one_line(name), one_line(str(each.get("version", ""))), path)


_GO = re.compile(r"(?:require\s+)?([\w~/-][\w.~/-]*)\s+(v\d\S*)")
_LONGEST_GO = 1_000


def _go_mod(text: str, path: str) -> Iterator[Dependency]:
    for line in text.splitlines():
        # Whoever wrote the file may want a pattern to take for ever: it is shown one line, and not all of it.
        found = _GO.match(line[:_LONGEST_GO].strip())
        if found and "." in found[1][1:-1]:
            yield Dependency("Go", one_line(found[1]), one_line(found[2].removeprefix("v")), path)


_READERS: dict[str, Callable[[str, str], Iterator[Dependency]]] = {
    "uv.lock": _python_lock,
    "poetry.lock": _python_lock,
    "pdm.lock": _python_lock,
    "pylock.toml": _python_lock,
    "package-lock.json": _npm_lock,
    "go.mod": _go_mod,
}
