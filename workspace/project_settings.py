"""A project's own settings: `project.toml`, the operator's file and the one in the project's repository.

The operator's file, `<home>/projects/<name>/project.toml`, may say everything. The one in the repository is
content that models write: it may say what describes the product, and nothing that decides where code or a
token goes. What else stands in it is named and left out, never applied.
"""

from __future__ import annotations

import asyncio
import re
import time
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from core.errors import BadInput
from core.redaction import MASK, redact
from models.spending.amount import usd
from workspace.deadlines import Deadlines
from workspace.declared import DeclaredCheck, Page, unlike
from workspace.dependencies.settings import Dependencies
from workspace.policies import PLAIN
from workspace.remote import Remote

FILE: Final = "project.toml"
FROM_THE_REPOSITORY: Final = frozenset({"description", "checks", "page"})
"""The keys that the repository's copy may set. Its commands run in the sandbox, without a network."""
_READ_ELSEWHERE: Final = frozenset({"mcp"})
"""Tables of the repository's copy that are not ours to read."""

_LARGEST = 100_000
_JUST_NOW_NS = 1_000_000_000
"""A file that was changed so shortly before it was read may change again without its time telling."""
_MOST_KNOWN = 1_000


class ProjectSettingsInvalid(BadInput):
    """A project.toml cannot be used."""


class ModelsAllowed(BaseModel):
    """Which models may be asked for the project."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    local_only: bool = False
    """Nothing of the project leaves for a model that is neither on this machine nor on a host that the models
    file lists as local."""


def _amount(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    try:
        return usd(str(value))
    except BadInput as invalid:
        raise ValueError(f"{invalid.what}") from None


Usd = Annotated[Decimal, BeforeValidator(_amount)]


class BudgetSettings(BaseModel):
    """What may be spent on models, in US dollars; a person is asked at 90 %."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    run: Usd | None = None
    """Each run that was not given a budget of its own."""
    stage: Usd | None = None
    """Each team's turn in a run, with the questions that it asks other teams."""
    project: Usd | None = None
    """All runs of the project together."""
    teams: dict[str, Usd] = {}
    """A team in all runs of the project, by the team's id."""


class MemorySettings(BaseModel):
    """What the project's teams remember from one run to the next."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    enabled: bool = True
    """Whether anything is kept, and recalled."""
    model: bool = True
    """Whether a model reads each stage's work too, beside the rules: one call a stage."""
    brief_tokens: int = Field(default=2_000, ge=0, le=20_000)
    """The most that memories may take of a brief; never more than a twelfth of the model's window."""


class ProjectSettings(BaseModel):
    """What is set for a project."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    description: str = Field(default="", max_length=500)
    """One line about the product, for people."""
    runs_at_once: int | None = Field(default=None, ge=1, le=1_000)
    """Runs of the project that workers drive side by side; without it, what the settings say."""
    remote: Remote | None = None
    models: ModelsAllowed = ModelsAllowed()
    budget: BudgetSettings = BudgetSettings()
    deadlines: Deadlines = Deadlines()
    memory: MemorySettings = MemorySettings()
    dependencies: Dependencies = Dependencies()
    checks: tuple[DeclaredCheck, ...] = Field(default=(), strict=False)
    """Commands that check the product, beside the factory's own checks."""
    page: Page | None = None
    """How the product's page is served; guessed where it is not given."""

    @field_validator("checks")
    @classmethod
    def _unlike(cls, value: tuple[DeclaredCheck, ...]) -> tuple[DeclaredCheck, ...]:
        return unlike(value)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A project's settings, and what of the repository's copy was left out."""

    settings: ProjectSettings
    left_out: tuple[str, ...]
    """Keys in the repository's copy that only the operator may set."""


def operators_file(home: Path, project: str) -> Path:
    """Where the operator's settings of a project stand."""
    return home / "projects" / project / FILE


def load_operators(home: Path, project: str) -> ProjectSettings:
    """What the operator's file says; the defaults where there is none. Raises ProjectSettingsInvalid."""
    path = operators_file(home, project)
    stamp, known = _known(path)
    if known is not None:
        return known
    found = _settings(read(path), str(path))
    if stamp is not None and time.time_ns() - stamp[0] > _JUST_NOW_NS:
        if len(_read) >= _MOST_KNOWN:
            _read.clear()
        _read[path] = (stamp, found)
    return found


async def operators(home: Path, project: str) -> ProjectSettings:
    """The same beside the event loop: a thread is asked only where the file has changed since."""
    _, known = _known(operators_file(home, project))
    return known if known is not None else await asyncio.to_thread(load_operators, home, project)


_Stamp = tuple[int, int, int]
_read: dict[Path, tuple[_Stamp, ProjectSettings]] = {}
"""The operator's files that were read: when they were changed, how long they are, which file it is."""


def _known(path: Path) -> tuple[_Stamp | None, ProjectSettings | None]:
    """What tells whether a file is still the same, and what it says where it was read and is; a look of
    microseconds."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None, ProjectSettings()
    except OSError:
        return None, None  # reading it says what is wrong
    stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
    before = _read.get(path)
    return stamp, before[1] if before is not None and before[0] == stamp else None


def load(home: Path, project: str, in_repository: str | None) -> Loaded:
    """The operator's settings over those of the repository's copy, whose text is `in_repository`.

    Raises ProjectSettingsInvalid.
    """
    operators = load_operators(home, project)
    if in_repository is None:
        return Loaded(operators, ())
    where = f"{FILE} in the repository of {project}"
    written = _parsed(in_repository, where)
    left_out = tuple(sorted(set(written) & (set(ProjectSettings.model_fields) - FROM_THE_REPOSITORY)))
    unread = {*left_out, *_READ_ELSEWHERE}
    told = _settings({key: value for key, value in written.items() if key not in unread}, where)
    for check in told.checks:
        if check.policy not in PLAIN:
            raise ProjectSettingsInvalid(
                f"{where}: checks.{check.name}.policy: may be {', '.join(PLAIN)}",
                todo="Let the operator's file declare a check that needs a network",
            )
    given = {name: getattr(told, name) for name in told.model_fields_set} | {
        name: getattr(operators, name) for name in operators.model_fields_set
    }
    return Loaded(ProjectSettings.model_construct(None, **given), left_out)


def read(path: Path) -> dict[str, Any]:
    """The tables of the operator's file. Raises ProjectSettingsInvalid."""
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise ProjectSettingsInvalid(f"{path} cannot be read: {error.strerror}") from error
    return _parsed(raw.decode("utf-8", "replace"), str(path))


def parse(text: str, where: str) -> ProjectSettings:
    """What an operator's file of this text says. Raises ProjectSettingsInvalid, which names `where`."""
    return _settings(_parsed(text, where), where)


def with_remote(text: str, remote: Remote, where: str) -> str:
    """The text of an operator's file with `remote` in the place of the one it had; the rest stays.

    Raises ProjectSettingsInvalid where the result could not be used.
    """
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.strip().startswith("["):
            inside = re.match(r"\s*\[\s*remote\s*\]", line) is not None
        if not inside:
            kept.append(line)
    before = "\n".join(kept).rstrip()
    lines = [f"{name} = {_quoted(value)}" for name, value in remote.model_dump(exclude_defaults=True).items()]
    fresh = (f"{before}\n\n" if before else "") + "[remote]\n" + "\n".join(lines) + "\n"
    if _settings(_parsed(fresh, where), where).remote != remote:
        raise ProjectSettingsInvalid(f"{where}: its [remote] cannot be replaced", todo="Edit the file")
    return fresh


def remote_of(fields: dict[str, str], where: str) -> Remote:
    """A remote from the fields that a person gave. Raises ProjectSettingsInvalid."""
    try:
        return Remote.model_validate(fields)
    except ValidationError as invalid:
        raise _invalid(invalid, where, "remote") from None


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _parsed(text: str, where: str) -> dict[str, Any]:
    if len(text) > _LARGEST:
        raise ProjectSettingsInvalid(f"{where} is bigger than {_LARGEST} bytes")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ProjectSettingsInvalid(
            f"{where} cannot be read as TOML: {error}", todo="Correct the file"
        ) from None


def _settings(written: dict[str, Any], where: str) -> ProjectSettings:
    try:
        return ProjectSettings.model_validate(written)
    except ValidationError as invalid:
        raise _invalid(invalid, where) from None


def _invalid(invalid: ValidationError, where: str, table: str = "") -> ProjectSettingsInvalid:
    """The first error: file, key, what is allowed. Never the value: it may be a token in the wrong place."""
    error = invalid.errors(include_url=False, include_input=False)[0]
    place = tuple(str(part) for part in error["loc"])
    key = ".".join((table, *place) if table else place) or "remote"
    pages = {"checks": "docs/checks.md", "page": "docs/checks.md", "dependencies": "docs/dependencies.md"}
    pages["memory"] = "docs/memory.md"
    todo = f"Correct it; {pages.get(place[0] if place else '', 'docs/releasing.md')} shows every key"
    if error["type"] == "extra_forbidden":
        models: dict[str, type[BaseModel]] = {
            "checks": DeclaredCheck,
            "page": Page,
            "dependencies": Dependencies,
            "memory": MemorySettings,
        }
        inner = models.get(place[0], Remote) if place else Remote
        model = inner if table or len(place) > 1 else ProjectSettings
        shown = MASK if redact(key) != key else ascii(key[:80])
        return ProjectSettingsInvalid(
            f"{where}: {shown} is no key; allowed: {', '.join(model.model_fields)}", todo=todo
        )
    problem = redact(str(error["msg"]).removeprefix("Value error, "))
    return ProjectSettingsInvalid(f"{where}: {key}: {problem}", todo=todo)
