"""Which models exist for the factory: `models.toml`, with a person's own file over it."""

import fnmatch
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field, StringConstraints, ValidationError, model_validator

from core.json import is_object
from core.redaction import redact
from models.accounts import (
    POOL,
    Account,
    AccountName,
    Frozen,
    Pool,
    Privacy,
    Provider,
    Scope,
    built_in,
)
from models.errors import CatalogueInvalid, UnknownAlias

OWN = Path(__file__).parent / "models.toml"
EMBED_ALIAS = "local/embed"

Capability = Literal["tools", "format", "thinking", "embed"]
"""What a model can do: call tools natively, keep to a JSON schema, think first, turn text into vectors."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][\w./:@-]*$")]

_INLINE = re.compile(r"(api_?)?key|token|secret|password|credentials?|authorization", re.IGNORECASE)


class ModelSpec(Frozen):
    """One model as the factory asks for it."""

    num_ctx: int = Field(ge=512)
    """Tokens of prompt and answer together."""
    num_predict: int = Field(ge=64)
    """Tokens of the longest answer; always finite."""
    capabilities: frozenset[Capability]
    input_price: Decimal = Field(ge=0)
    """USD per million tokens."""
    output_price: Decimal = Field(ge=0)
    keep_alive: str
    temperature: float | None = Field(default=None, ge=0, le=2)
    rpm: int | None = Field(default=None, ge=1)
    """Requests to this model that one account takes in its window, beside the account's own limit."""
    tpm: int | None = Field(default=None, ge=1)

    def cost(self, input_tokens: int, output_tokens: int) -> Decimal:
        """USD for that many tokens."""
        return (input_tokens * self.input_price + output_tokens * self.output_price) / 1_000_000


class Limits(Frozen):
    """Bounds of every call. Seconds and tokens."""

    parallel_calls: int = Field(ge=1)
    least_context: int = Field(ge=0)
    least_answer: int = Field(ge=1)
    bytes_per_token: float = Field(gt=0)
    probe_seconds: float = Field(gt=0)
    connect_seconds: float = Field(gt=0)
    silence_seconds: float = Field(gt=0)
    call_seconds: float = Field(gt=0)
    patience_seconds: float = Field(ge=0)


class Retry(Frozen):
    """How often and how patiently a call is tried again."""

    attempts: int = Field(ge=1, le=20)
    first_seconds: float = Field(ge=0)
    longest_seconds: float = Field(ge=0)


class Routing(Frozen):
    """How a pool chooses, and when it leaves an account alone. Seconds, USD."""

    picks: int = Field(ge=1, le=50)
    second_price: float = Field(ge=0)
    open_after: int = Field(ge=1)
    first_open_seconds: float = Field(gt=0)
    longest_open_seconds: float = Field(gt=0)
    refused_seconds: float = Field(gt=0)
    longest_retry_after: float = Field(gt=0)
    lease_seconds: float = Field(gt=0)
    clients: int = Field(ge=1)


class Canary(Frozen):
    """The tiny call that shows whether a model keeps to `format`."""

    prompt: str = Field(min_length=1)
    num_predict: int = Field(ge=16)


class Catalogue(Frozen):
    """Aliases, models and limits."""

    aliases: dict[str, Annotated[tuple[Name, ...], Field(min_length=1)]]
    defaults: ModelSpec
    models: dict[Name, ModelSpec]
    limits: Limits
    retry: Retry
    routing: Routing
    canary: Canary
    providers: dict[AccountName, Provider] = Field(default_factory=dict[str, Provider])
    accounts: dict[AccountName, Account] = Field(default_factory=dict[str, Account])
    pools: dict[AccountName, Pool] = Field(default_factory=dict[str, Pool])
    projects: dict[str, Scope] = Field(default_factory=dict[str, Scope])
    teams: dict[str, Scope] = Field(default_factory=dict[str, Scope])
    privacy: Privacy = Privacy()
    priced: frozenset[str] = frozenset()
    """Models whose two prices stand in a file. Set by `load`, whatever a file says."""
    folder: Path = Path()
    """Where relative paths of key files begin. Set by `load`."""

    @model_validator(mode="after")
    def _nothing_dangles(self) -> "Catalogue":
        for name, account in self.accounts.items():
            if account.provider not in self.known_providers:
                known = ", ".join(sorted(self.known_providers))
                raise ValueError(f"accounts.{name}.provider: there is no {account.provider!r}, only {known}")
        for name, pool in self.pools.items():
            for pattern in pool.accounts:
                if not fnmatch.filter(self.accounts, pattern):
                    raise ValueError(f"pools.{name}.accounts: no account is called {pattern!r}")
        for where, aliases in self._all_aliases():
            for alias, chain in aliases.items():
                if alias not in self.aliases:
                    raise ValueError(f"{where}: there is no alias {alias!r} to replace")
                for entry in chain:
                    if entry.startswith(POOL) and entry.removeprefix(POOL) not in self.pools:
                        raise ValueError(f"{where}.{alias}: there is no pool {entry.removeprefix(POOL)!r}")
        return self

    def _all_aliases(self) -> list[tuple[str, dict[str, tuple[str, ...]]]]:
        scopes = [("projects", self.projects), ("teams", self.teams)]
        return [
            ("aliases", self.aliases),
            *((f"{kind}.{name}.aliases", scope.aliases) for kind, of in scopes for name, scope in of.items()),
        ]

    def every_chain(self) -> list[tuple[str, ...]]:
        """The chains of all aliases, those of projects and teams among them."""
        return [chain for _, aliases in self._all_aliases() for chain in aliases.values()]

    @property
    def known_providers(self) -> dict[str, Provider]:
        """The built-in providers, and those of the file."""
        return {**built_in(), **self.providers}

    def overridden(self, project: str | None, team: str | None) -> dict[str, tuple[str, ...]]:
        """The aliases as one team of one project sees them: a team's word over a project's."""
        of_project = self.projects.get(project or "", Scope())
        of_team = self.teams.get(team or "", Scope())
        return {**self.aliases, **of_project.aliases, **of_team.aliases}

    def local_only(self, project: str | None, team: str | None) -> bool:
        """Whether nothing may leave this machine for that team of that project."""
        return (
            self.privacy.local_only
            or self.projects.get(project or "", Scope()).local_only
            or self.teams.get(team or "", Scope()).local_only
        )

    def chain(self, alias: str) -> tuple[str, ...]:
        """The names behind an alias, the preferred one first. Raises UnknownAlias."""
        try:
            return self.aliases[alias]
        except KeyError:
            raise UnknownAlias(
                f"There is no alias {alias!r}", todo=f"Use one of {', '.join(sorted(self.aliases))}"
            ) from None

    def spec(self, model: str) -> ModelSpec:
        """How that model is asked; the defaults where the file does not name it."""
        return self.models.get(model, self.defaults)


def load(path: Path | None = None) -> Catalogue:
    """The factory's own catalogue with `path` over it, table by table.

    Raises CatalogueInvalid, which names the file and the field.
    """
    tables = _read(OWN)
    if path is not None:
        theirs = _read(path)
        _refuse_inline_keys(theirs, path)
        tables = _merged(tables, theirs)
    models = tables.get("models")
    defaults = tables.get("defaults")
    priced = _priced(models)
    if is_object(models) and is_object(defaults):
        tables["models"] = {
            name: _merged(defaults, entry) if is_object(entry) else entry for name, entry in models.items()
        }
    tables["priced"] = priced
    tables["folder"] = (path or OWN).parent
    try:
        return Catalogue.model_validate(tables)
    except ValidationError as invalid:
        problem = invalid.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        raise CatalogueInvalid(
            ": ".join(filter(None, (str(path or OWN), field, message))),
            untouched="No model was asked",
            todo="Correct that field; models/models.toml shows every one",
        ) from None


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no TOML
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise CatalogueInvalid(
            f"{path}: {why}",
            untouched="No model was asked",
            todo="Correct the file, or unset FACTORY_MODELS_FILE",
        ) from None


def _priced(models: object) -> frozenset[str]:
    """The models for which a file says what they cost."""
    if not is_object(models):
        return frozenset()
    return frozenset(
        name
        for name, entry in models.items()
        if is_object(entry) and {"input_price", "output_price"} <= entry.keys()
    )


def _refuse_inline_keys(tables: dict[str, object], path: Path) -> None:
    """Raise CatalogueInvalid for a key in the file itself, without repeating it."""
    for table in ("accounts", "providers"):
        entries = tables.get(table)
        for name, entry in entries.items() if is_object(entries) else ():
            for field, value in entry.items() if is_object(entry) else ():
                if _INLINE.fullmatch(field) or (isinstance(value, str) and redact(value) != value):
                    raise CatalogueInvalid(
                        f"{path}: {table}.{name}.{field} holds a key; keys never stand in this file",
                        untouched="The key was not used, and is not repeated here",
                        todo=f"Take it out, put it into a variable or a file that only you can read, and "
                        f'write key_env = "NAME" or key_file = "PATH" under [{table}.{name}]',
                    )


def _merged(below: dict[str, object], above: dict[Any, Any]) -> dict[str, object]:
    """`above` over `below`: tables are joined, everything else is replaced."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        both = is_object(old) and is_object(value)
        merged[name] = (
            _merged(cast("dict[str, object]", old), cast("dict[Any, Any]", value)) if both else value
        )
    return merged
