"""Where models are to be had: providers, accounts, pools, and who may use what: tables of `models.toml`."""

import ipaddress
import re
from decimal import Decimal
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from core.redaction import redact

Kind = Literal["ollama", "openai", "anthropic", "gemini"]
"""Which wire protocol an account speaks. `openai` is every server that speaks chat completions."""

POOL = "pool:"
"""How an alias names a pool in its chain; any other name is a model of the Ollama at FACTORY_OLLAMA_URL."""

AccountName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][\w.-]*$")]
ModelName = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][\w./:@-]*$")
]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_HOME: dict[Kind, str] = {
    "ollama": "http://127.0.0.1:11434",
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
}


class Frozen(BaseModel):
    """A table of the file: closed, and never quoted in an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number
        raise ValueError("write it as https://host/path") from None
    if not usable or not value.isprintable() or " " in value:
        raise ValueError("write it as https://host/path")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("must be a plain address without a user, a password or a query; keys go by key_env")
    return value.rstrip("/")


class Provider(Frozen):
    """What several accounts have in common."""

    kind: Kind
    base_url: str = ""
    """Where the API answers; the provider's own address where none is given."""

    @field_validator("base_url")
    @classmethod
    def _plain(cls, value: str) -> str:
        return _address(value) if value else value


class Account(Frozen):
    """One account at a provider, or as many as its `keys_file` has lines."""

    provider: AccountName
    """`ollama`, `openai`, `anthropic`, `gemini`, or one of [providers]."""
    base_url: str = ""
    key_env: str = ""
    """The environment variable that holds the key."""
    key_file: str = ""
    """The file that holds the key and nothing else."""
    keys_file: str = ""
    """A file with a key on each line: one account for each, named `NAME-1`, `NAME-2` …"""
    models: tuple[ModelName, ...] = Field(min_length=1)
    """What the account may be asked for."""
    rpm: int | None = Field(default=None, ge=1)
    """Requests that the account takes in a window, over all its models and all our processes."""
    tpm: int | None = Field(default=None, ge=1)
    """Tokens of prompts and answers that it takes in a window."""
    budget_usd: Decimal | None = Field(default=None, ge=0, le=1_000_000)
    """What may be spent on it in all, until a person extends it."""
    window_seconds: float = Field(default=60, gt=0, le=86_400)
    """The window of `rpm` and `tpm`."""

    @field_validator("base_url")
    @classmethod
    def _plain(cls, value: str) -> str:
        return _address(value) if value else value

    @field_validator("key_env", "key_file", "keys_file")
    @classmethod
    def _a_place(cls, value: str) -> str:
        if redact(value) != value:
            raise ValueError("must name where the key is, and must not be the key itself")
        return value

    @field_validator("key_env")
    @classmethod
    def _a_variable(cls, value: str) -> str:
        if value and not _VARIABLE.fullmatch(value):
            raise ValueError("must be the name of an environment variable")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> "Account":
        if sum(bool(place) for place in (self.key_env, self.key_file, self.keys_file)) > 1:
            raise ValueError("give one of key_env, key_file and keys_file")
        return self


class Pool(Frozen):
    """Accounts that stand in for one another."""

    accounts: tuple[str, ...] = Field(min_length=1)
    """Names of accounts; `*` and `?` stand for any letters and any letter."""
    models: tuple[ModelName, ...] = ()
    """Of what these accounts have, only this; everything where nothing is named."""


class Scope(Frozen):
    """What is different for one project or one team."""

    aliases: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default_factory=dict[str, tuple[str, ...]]
    )
    local_only: bool = False
    """Nothing may leave for an address that is neither loopback nor in `privacy.local_hosts`."""


class Privacy(Frozen):
    """What may leave this machine."""

    local_only: bool = False
    """For every project."""
    local_hosts: tuple[str, ...] = ()
    """Hosts beside loopback that count as local, such as the GPU server in the next room."""

    def is_local(self, base_url: str) -> bool:
        """Whether a call there stays where the operator says that it may."""
        host = urlsplit(base_url).hostname or ""
        return is_loopback(host) or host in self.local_hosts


def is_loopback(host: str) -> bool:
    """Whether a host is this machine. A name other than `localhost` is not: names can lead anywhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(account: Account, provider: Provider) -> str:
    """Where an account answers."""
    return account.base_url or provider.base_url or _HOME[provider.kind]


def built_in() -> dict[str, Provider]:
    """The providers that need no table of their own."""
    return {kind: Provider(kind=kind) for kind in _HOME}
