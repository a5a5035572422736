"""A project's own settings: `project.toml`, the operator's file and the one in the project's repository.

The operator's file, `<home>/projects/<name>/project.toml`, may say everything. The one in the repository is
content that models write: it may say what describes the product, and nothing that decides where code or a
token goes. What else stands in it is named and left out, never applied.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from core.errors import BadInput
from core.redaction import MASK, know, redact
from models.spending.amount import usd
from workspace.deadlines import Deadlines
from workspace.declared import DeclaredCheck, Page, unlike
from workspace.dependencies.settings import Dependencies
from workspace.policies import PLAIN

FILE: Final = "project.toml"
FROM_THE_REPOSITORY: Final = frozenset({"description", "checks", "page"})
"""The keys that the repository's copy may set. Its commands run in the sandbox, without a network."""
_READ_ELSEWHERE: Final = frozenset({"mcp"})
"""Tables of the repository's copy that are not ours to read."""

ForgeName = Literal["github", "gitlab", "gitea"]

_LARGEST = 100_000
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SCP = re.compile(r"(?P<user>[A-Za-z0-9._-]+)@(?P<host>[A-Za-z0-9.-]+):(?P<path>[^/:][^:]*)")
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class ProjectSettingsInvalid(BadInput):
    """A project.toml cannot be used."""


class TokenMissing(BadInput):
    """There is no token where the project's settings say."""


class Remote(BaseModel):
    """Where a finished run is pushed, and where its pull request is opened."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    url: str
    """What git pushes to: https, ssh, or a local path. http only to this machine. Never with a password."""
    forge: ForgeName
    """Which API the forge speaks."""
    api: str = ""
    """Address of that API; guessed from `url` where it is not given."""
    repository: str = ""
    """`owner/name` at the forge; read from `url` where it is not given."""
    token_env: str = ""
    """Name of the environment variable, or absolute path of the file, that holds the token."""
    branch_prefix: str = "factory/"
    """The branch is this and the run's id."""
    base: str = ""
    """The branch that the pull request is for; the forge's default branch where it is not given."""

    @field_validator("url")
    @classmethod
    def _reachable(cls, value: str) -> str:
        if not value.isprintable() or " " in value or value.startswith("-"):
            raise ValueError("must be one address without blanks")
        if _SCP.fullmatch(value) or value.startswith("/"):
            return value
        parts = _parts(value)
        if parts.scheme == "file" and parts.path.startswith("/"):
            return value
        if parts.scheme not in ("https", "http", "ssh") or not parts.hostname:
            raise ValueError("must be https://…, ssh://…, user@host:path, or an absolute path")
        if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
            raise ValueError("must not hold a user's name or password; name where the token is in token_env")
        _plain_only_here(parts.scheme, parts.hostname)
        return value

    @field_validator("api")
    @classmethod
    def _api(cls, value: str) -> str:
        if not value:
            return value
        parts = _parts(value)
        if parts.scheme not in ("https", "http") or not parts.hostname or not value.isprintable():
            raise ValueError("must be https://…")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("must be a plain address, without a user, a query or a fragment")
        _plain_only_here(parts.scheme, parts.hostname)
        return value.rstrip("/")

    @field_validator("repository")
    @classmethod
    def _owner_and_name(cls, value: str) -> str:
        if value and (not _REPOSITORY.fullmatch(value) or ".." in value):
            raise ValueError("must be owner/name")
        return value

    @field_validator("token_env")
    @classmethod
    def _a_place(cls, value: str) -> str:
        if not value:
            return value
        if redact(value) != value:
            raise ValueError("must be the name of a variable or file that holds the token, not the token")
        if not (_VARIABLE.fullmatch(value) or (value.startswith("/") and value.isprintable())):
            raise ValueError("must be the name of an environment variable or the absolute path of a file")
        return value

    @field_validator("branch_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if value and not is_branch(value + "run"):
            raise ValueError("must be the beginning of a branch's name, as in factory/")
        return value

    @field_validator("base")
    @classmethod
    def _base(cls, value: str) -> str:
        if value and not is_branch(value):
            raise ValueError("must be a branch's name, as in main")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.path:
            raise ValueError(f'repository = "owner/name" must be given for the url {self.url!r}')
        if not self.endpoint:
            raise ValueError(f"api must be given for the url {self.url!r}")
        return self

    @property
    def host(self) -> str:
        """The host of `url`; empty for a local path."""
        if scp := _SCP.fullmatch(self.url):
            return scp["host"]
        return "" if self.url.startswith("/") else urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        """`owner/name` at the forge; empty where neither `repository` nor `url` tells."""
        if self.repository or not self.host:
            return self.repository
        scp = _SCP.fullmatch(self.url)
        path = (scp["path"] if scp else urlsplit(self.url).path).strip("/").removesuffix(".git")
        return path if _REPOSITORY.fullmatch(path) and ".." not in path else ""

    @property
    def endpoint(self) -> str:
        """Where the forge's API answers; empty where neither `api` nor `url` tells."""
        if self.api or not self.host:
            return self.api
        if self.forge == "github":
            host = self.host.lower()
            return "https://api.github.com" if host == "github.com" else f"https://{self.host}/api/v3"
        return f"https://{self.host}/api/{'v4' if self.forge == 'gitlab' else 'v1'}"

    def branch(self, run_id: str) -> str:
        """The branch that a run is pushed to."""
        return f"{self.branch_prefix}{run_id}"

    def token(self) -> str | None:
        """The token, read now and masked from now on; None where the settings name none.

        Raises TokenMissing.
        """
        if not self.token_env:
            return None
        if self.token_env.startswith("/"):
            try:
                token = Path(self.token_env).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise TokenMissing(
                    f"The token's file {self.token_env} cannot be read: {type(error).__name__}",
                    todo="Put the token there, or correct token_env",
                ) from None
        else:
            token = os.environ.get(self.token_env, "").strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise TokenMissing(
                f"There is no token in {self.token_env}", todo="Set it, or correct token_env in project.toml"
            )
        know(token)
        return token


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
    return _settings(read(path), str(path)) if path.exists() else ProjectSettings()


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


def is_branch(name: str) -> bool:
    """Whether git takes `name` for a branch, in the plain letters that every forge takes too."""
    parts = name.split("/")
    plain = _REF.fullmatch(name) is not None and len(name) <= 200 and ".." not in name
    return plain and not any(part.endswith((".lock", ".")) for part in parts)


def _parts(value: str) -> Any:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("is no address") from None
    return parts


def _plain_only_here(scheme: str, host: str) -> None:
    if scheme == "http" and host not in _LOOPBACK:
        raise ValueError("must be https: over http the token could be read on its way")


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
