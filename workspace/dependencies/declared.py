"""Which distributions a product says that it needs: `pyproject.toml` and `requirements*.txt` at its root.

Both are written by models or come with a repository: an option or an address in them is a problem that is
named, never something that is done.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import PurePosixPath
from typing import Final, Protocol

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from core.json import is_array, is_object
from workspace.errors import WorkspaceError
from workspace.files import Files

PROVIDED: Final = frozenset({"pytest", "coverage", "ruff"})
"""What the sandbox has of its own, for the checks: never installed beside it."""
MOST: Final = 300
"""Requirements of one product."""

_LARGEST = 200_000
_DEEPEST = 5
_HASH = re.compile(r"\s--hash=(\S+)")
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")
_COMMENT = re.compile(r"(^|\s)#.*$")


class Texts(Protocol):
    """Where the files lie that a requirements file includes."""

    def read(self, path: str, *, limit: int = ...) -> str:
        """A file's text. Raises WorkspaceError."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """One requirement as it is asked for."""

    name: str
    """Normalised: lower case, `-` for every separator."""
    requirement: str
    """As PEP 508 writes it, without its marker, which held here."""
    file: str
    hashes: frozenset[str] = frozenset()
    """SHA-256 digests, one of which its wheel must have; empty where none is given."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a product needs, and what of its files cannot be followed."""

    wanted: tuple[Wanted, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    """What it says and why that is not done."""


def read(files: Files) -> Declared:
    """What the worktree declares. Blocks: call it in a thread."""
    texts: dict[str, str] = {}
    for path in ("pyproject.toml", *_texts_at_root(files)):
        if files.exists(path):
            try:
                texts[path] = files.read(path, limit=_LARGEST)
            except WorkspaceError as error:
                return Declared((), ((path, str(error)),))
    return of(texts, files)


def of(texts: Mapping[str, str], files: Texts | None = None) -> Declared:
    """What the files of these texts declare; `files` leads to those that they include."""
    found: list[Wanted] = []
    problems: list[tuple[str, str]] = []
    included: set[str] = set()
    for path, text in texts.items():
        reading = _Reading(path, files, included)
        if path == "pyproject.toml":
            reading.project(text)
        else:
            reading.lines(text)
        found += reading.found
        problems += reading.problems
    kept = sorted({each for each in found if not _provided(each)})
    if len(kept) > MOST:
        problems.append((f"{len(kept)} requirements", f"a product may have {MOST}"))
        kept = []
    return Declared(tuple(kept), tuple(problems))


def _texts_at_root(files: Files) -> list[str]:
    return [path for path in files.list("requirements*.txt") if "/" not in path]


class _Reading:
    def __init__(self, path: str, files: Texts | None, included: set[str], above: Sequence[str] = ()) -> None:
        self.path, self._files = path, files
        self._included = included
        """What was included already, by any file: it is read once."""
        self._way = (*above, path)
        self.found: list[Wanted] = []
        self.problems: list[tuple[str, str]] = []

    def project(self, text: str) -> None:
        """The `dependencies` of a pyproject.toml."""
        try:
            written = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            return self._refuse(self.path, f"cannot be read as TOML: {error}")
        project, tool = written.get("project"), written.get("tool")
        if is_object(tool) and is_object(poetry := tool.get("poetry")) and not is_object(project):
            named = poetry.get("dependencies")
            for name in (named if is_object(named) else {}).keys() - {"python"}:
                self._refuse(name, "stands in [tool.poetry]; declare it in [project] dependencies")
        listed: object = project.get("dependencies", []) if is_object(project) else []
        if not is_array(listed) or not all(isinstance(each, str) for each in listed):
            return self._refuse("project.dependencies", "is no list of texts")
        for each in listed:
            self._add(str(each))
        return None

    def lines(self, text: str) -> None:
        """A requirements file."""
        for line in _logical(text):
            hashes = frozenset(_HASH.findall(line))
            line = _HASH.sub("", line).strip()
            if line.startswith(("-r ", "--requirement ", "-r", "--requirement=")):
                self._include(re.split(r"[\s=]+|(?<=-r)", line, maxsplit=1)[-1].strip())
            elif line in (".", "-e .", "--editable ."):
                continue  # the product itself, which its tests find in the worktree
            elif line.startswith("-"):
                self._refuse(line, "an option is not the product's to set")
            elif line:
                self._add(line, hashes)

    def _include(self, path: str) -> None:
        beside = str(PurePosixPath(self.path).parent / path)
        if self._files is None or len(self._way) >= _DEEPEST or beside in self._way:
            return self._refuse(f"-r {path}", "is not followed")
        if beside in self._included:
            return None
        self._included.add(beside)
        inner = _Reading(beside, self._files, self._included, self._way)
        try:
            inner.lines(self._files.read(beside, limit=_LARGEST))
        except WorkspaceError as error:
            return self._refuse(f"-r {path}", str(error))
        self.found += inner.found
        self.problems += inner.problems
        return None

    def _add(self, text: str, hashes: frozenset[str] = frozenset()) -> None:
        try:
            requirement = Requirement(text)
        except (InvalidRequirement, RecursionError):
            return self._refuse(text, "is no requirement as PEP 508 writes one")
        if requirement.url:
            return self._refuse(
                text, "names an address; name and version are looked up where the operator says"
            )
        digests = [_SHA256.fullmatch(each) for each in hashes]
        if not all(digests):
            return self._refuse(text, "has a hash that is no SHA-256")
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            requirement.marker = None
            name = canonicalize_name(requirement.name)
            sums = frozenset(each[1] for each in digests if each)
            self.found.append(Wanted(name, str(requirement), self.path, sums))
        return None

    def _refuse(self, what: str, why: str) -> None:
        self.problems.append((" ".join(what.split())[:200], f"{why} ({self.path})"))


def _logical(text: str) -> Iterator[str]:
    """The lines of a requirements file, continued ones as one, without comments."""
    kept = ""
    for line in text.splitlines():
        line = _COMMENT.sub("", line)
        if line.endswith("\\"):
            kept += line[:-1] + " "
            continue
        yield (kept + line).strip()
        kept = ""
    yield kept.strip()


def _provided(wanted: Wanted) -> bool:
    """Whether the sandbox's own tools satisfy it."""
    if wanted.name not in PROVIDED:
        return False
    return Requirement(wanted.requirement).specifier.contains(metadata.version(wanted.name), prereleases=True)
