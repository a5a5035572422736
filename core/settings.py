"""What an operator can set: by argument, `FACTORY_*` variable, `.env` or `factory.toml`, in this order."""

import difflib
import os
import tomllib
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from core import redaction
from core.errors import BadInput

FILE = "factory.toml"
"""The file of settings in the folder where a program is started."""


OPERATORS_ONLY = frozenset(
    {
        "unsafe_no_sandbox",
        "bwrap",
        "sandbox_backend",
        "sandbox_image",
        "sandbox_runtime",
        "sandbox_file",
        "policy_file",
        "models_file",
        "mcp_file",
        "wheelhouse",
        "index_url",
        "dependency_file",
        "pack_dirs",
        "budget_day",
        "retention_days",
        "audit_key_file",
        "session_key_file",
        "webhook_allow",
        "printed_token",
        "hosts",
        "cors_origins",
        "proxies",
        "rate_limit",
    }
)
"""What no file in the current folder may set. It decides what confines code, what is started outside the
sandbox, and where keys are sent; and the folder may be somebody else's repository."""


class SettingsInvalid(BadInput):
    """A setting has a value that cannot be used."""


class Settings(BaseSettings):
    """The settings of one process. Use `Settings.load()` where a person reads the error."""

    model_config = SettingsConfigDict(
        env_prefix="FACTORY_",
        env_file=".env",
        env_file_encoding="utf-8",
        toml_file=FILE,
        extra="ignore",  # .env and the environment hold other programs' FACTORY_ variables too
        frozen=True,
        hide_input_in_errors=True,  # the bad value may be a password
    )

    home: Path = Path(".factory")
    """Where the factory keeps projects, worktrees and its own database; made absolute."""
    database_url: SecretStr | None = None
    """A Postgres to use in place of the embedded one (`postgresql://…`)."""
    database_owner_url: SecretStr | None = None
    """The role that owns the schema, for migrations only; without it `database_url` owns it itself."""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"

    pack: str = "software"
    """The team pack that runs use."""
    pack_dirs: Annotated[list[Path], NoDecode] = Field(default_factory=list[Path])
    """Folders that hold further packs; in a variable separated as in PATH."""
    models_file: Path | None = None
    policy_file: Path | None = None
    mcp_file: Path | None = None
    """A TOML file whose `[mcp]` table declares MCP servers for the teams."""

    ollama_url: str = "http://127.0.0.1:11434"
    model: str | None = None
    """Put this model behind every alias; `offline` is the scripted one, `replay:PATH` a recorded run."""
    record_file: Path | None = None
    """Write a run's model calls here, for `replay:PATH`."""

    lease_seconds: float = Field(default=15.0, ge=1, le=3600)
    """Seconds without a sign of life after which the runs of a process are taken over by another one."""

    runs_at_once: int | None = Field(default=None, ge=1, le=1_000)
    """Runs of a project that workers drive side by side; its own settings may say another number."""

    retention_days: int = Field(default=365, ge=0, le=36_500)
    """Days from its end on for which a run's content is kept before somebody may purge it."""

    budget_day: Decimal | None = Field(default=None, ge=0, le=1_000_000)
    """US dollars that all runs together may spend on models in one day (UTC, by the database's clock)."""

    audit_key_file: Path | None = None
    """A private Ed25519 key (PEM) that signs checkpoints of the audit, in place of the one made in `home`."""

    session_key_file: Path | None = None
    """A private Ed25519 key (PEM) that signs sign-ins, in place of the one made in `home`."""
    printed_token: bool = True
    """Whether `factory serve` prints a token at its start that makes its owner director."""

    hosts: Annotated[list[str], NoDecode] = Field(default_factory=list[str])
    """Further names under which the service is spoken to, such as a proxy's; in a variable with commas."""
    cors_origins: Annotated[list[str], NoDecode] = Field(default_factory=list[str])
    """Sites whose pages may use the service from a browser, as in https://chat.example.org; `*` for all."""
    proxies: Annotated[list[str], NoDecode] = Field(default_factory=list[str])
    """Addresses of proxies whose X-Forwarded-For and -Proto are believed."""
    rate_limit: int = Field(default=1200, ge=0, le=1_000_000)
    """Requests a minute of one user or token, in each server process; 0 for no limit."""
    max_body: int = Field(default=10_000_000, ge=100_000, le=1_000_000_000)
    """Bytes of a request's body."""
    log_format: Literal["json", "text"] = "json"

    recall_weights: dict[str, float | tuple[float, ...]] = Field(
        default_factory=dict[str, float | tuple[float, ...]]
    )
    """What counts how much when memories are recalled, where it is not what was measured to be best."""

    webhook_allow: Annotated[list[str], NoDecode] = Field(default_factory=list[str])
    """Hosts and networks that webhooks may lead to though they are not public; in a variable with commas."""
    stream_heartbeat: float = Field(default=15, gt=0, le=3600)
    """Seconds after which a stream of events says that it is alive where nothing happens."""

    mcp_token: SecretStr | None = None
    """What an MCP server over HTTP asks for; without it, a new one at each start."""

    unsafe_no_sandbox: bool = False
    """Run code without isolation where no sandbox works. Every surface says so."""
    bwrap: str | None = None
    """Path of the bubblewrap program, where PATH and the wheel are not to be asked."""
    sandbox_backend: Literal["bwrap", "docker"] = "bwrap"
    """What confines the teams' code."""
    sandbox_image: str | None = None
    """The image for the docker backend, on the machine already, with Python and pytest in it."""
    sandbox_runtime: str | None = None
    """The runtime for the docker backend, such as runsc (gVisor); Docker's own where none is given."""
    sandbox_file: Path | None = None
    """The operator's sandbox policies, over those in workspace/policies.toml."""
    wheelhouse: Path | None = None
    """A folder of wheels from which the dependencies of products are installed."""
    index_url: str | None = None
    """A package index (PEP 503) from which they are installed, through the egress proxy."""
    dependency_file: Path | None = None
    """The operator's allow-list of dependencies, in place of governance/dependencies.toml."""
    advisories: Path | None = None
    """A database of advisories for the dependency audit: a folder or zip of OSV files."""
    environment: str = "local"
    """The environment whose part of `sandbox_file` counts."""
    durability: Literal["sync", "async"] = "sync"
    """When a checkpoint is written: before the next step begins, or beside it."""

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("webhook_allow", "hosts", "cors_origins", "proxies", mode="before")
    @classmethod
    def _commas(cls, value: Any) -> Any:
        return [part for part in value.replace(",", " ").split() if part] if isinstance(value, str) else value

    @field_validator("pack_dirs", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [Path(part) for part in value.split(os.pathsep) if part]
        return value

    @field_validator("ollama_url", mode="after")
    @classmethod
    def _an_address(cls, value: str) -> str:
        # host:port alone, as Ollama's own OLLAMA_HOST has it.
        value = value if "://" in value else f"http://{value}"
        try:
            parts = urlsplit(value)
            usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:  # a port that is no number
            usable = False
        if not usable:
            raise ValueError("write it as http://host:port")
        return value

    @field_validator(
        *("home", "models_file", "policy_file", "sandbox_file", "mcp_file", "wheelhouse", "dependency_file"),
        *("advisories", "audit_key_file", "session_key_file"),
        mode="after",
    )
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else Path(os.path.abspath(value.expanduser()))

    @field_validator("pack_dirs", mode="after")
    @classmethod
    def _all_absolute(cls, value: list[Path]) -> list[Path]:
        return [Path(os.path.abspath(path.expanduser())) for path in value]

    @field_validator(
        "database_url",
        "database_owner_url",
        "budget_day",
        "mcp_token",
        "model",
        "bwrap",
        "models_file",
        "policy_file",
        "sandbox_image",
        "sandbox_runtime",
        "sandbox_file",
        "mcp_file",
        "wheelhouse",
        "index_url",
        "dependency_file",
        "advisories",
        "audit_key_file",
        "session_key_file",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if value == "" else value

    def model_post_init(self, context: Any, /) -> None:
        for secret in (self.database_url, self.database_owner_url, self.mcp_token):
            if secret is not None:
                redaction.know(secret.get_secret_value())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls)

    @classmethod
    def load(cls, **given: Any) -> Self:
        """The settings of this process; values of None in `given` count as not given.

        Raises SettingsInvalid, which names each setting and what is wrong with it.
        """
        _refuse_unknown(cls.model_fields)
        _refuse_operators_only()
        try:
            settings = cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as invalid:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
                for error in invalid.errors()
            ).replace(": Value error, ", ": ")
            raise SettingsInvalid(
                f"Settings cannot be used: {problems}",
                todo="Correct the FACTORY_ variable, .env or factory.toml that sets it",
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as broken:
            raise SettingsInvalid(
                f"factory.toml or .env cannot be read: {broken}", todo="Correct or remove the file"
            ) from broken
        return settings


def _written() -> list[str]:
    """The names in factory.toml."""
    try:
        with Path(FILE).open("rb") as file:
            return list(tomllib.load(file))
    except (OSError, ValueError):
        return []  # not there, or said by the source that reads it


def _in_dotenv() -> list[str]:
    """The settings in .env, by their names."""
    try:
        return list(DotEnvSettingsSource(Settings)())
    except (OSError, ValueError):
        return []  # said when the settings are made


def _refuse_operators_only() -> None:
    """Raise SettingsInvalid where a file of the current folder sets what is the operator's alone."""
    file = dict.fromkeys(_in_dotenv(), ".env") | dict.fromkeys(_written(), FILE)
    name = next((name for name in file if name in OPERATORS_ONLY), None)
    if name is None:
        return
    raise SettingsInvalid(
        f"{file[name]} in this folder sets {name}, and the folder may be somebody else's",
        untouched="Nothing was started",
        todo=f"Take it out there; if you want it, set FACTORY_{name.upper()} in your environment",
    )


def _refuse_unknown(known: Iterable[str]) -> None:
    """Raise SettingsInvalid for a name in factory.toml that is no setting: the file is ours alone, so that it
    is a slip of the pen, and what it was meant to set would silently stay as it is."""
    names = list(known)
    unknown = [name for name in _written() if name not in names]
    if not unknown:
        return
    meant = difflib.get_close_matches(unknown[0].lower().removeprefix("factory_"), names, n=1)
    raise SettingsInvalid(
        f"{FILE} sets what is no setting: {', '.join(unknown)}",
        untouched="Nothing was started",
        todo=f"Did you mean {meant[0]}?" if meant else f"The settings are: {', '.join(sorted(names))}",
    )
