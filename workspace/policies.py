"""What commands may do, by name: policies are data, the factory's own and the operator's over them.

The file is checked when it is loaded: a wrong line must stop the program, never quietly allow something.
"""

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from core.errors import BadInput
from core.settings import Settings
from workspace import allowlist
from workspace.allowance import Allowance
from workspace.egress import Egress

PLAIN = ("none", "read", "build", "test")
"""The policies that a project's repository may choose among: those without a network."""

_MOST = 200_000


class PoliciesInvalid(BadInput):
    """The file of sandbox policies is not valid."""

    def __init__(self, file: str, where: str, problem: str) -> None:
        super().__init__(
            f"{file}: {where}: {problem}" if where else f"{file}: {problem}",
            untouched="Nothing was run",
            todo="Correct it; workspace/policies.toml shows every field",
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What a command may do."""

    name: str
    run: bool = True
    writable: bool = True
    egress: Egress | None = None
    """Which hosts it reaches; None: no network."""
    allowance: Allowance = field(default_factory=Allowance)


@dataclass(frozen=True, slots=True)
class Policies:
    """Every policy, and who gets another than he asks for."""

    by_name: Mapping[str, Policy]
    in_place_of: Mapping[str, str] = field(default_factory=dict[str, str])
    """A policy's name → the one that stands in for it in this environment."""
    teams: Mapping[str, str] = field(default_factory=dict[str, str])
    """A team's id → its policy, whatever its file says."""

    def choose(self, named: str, team: str = "") -> Policy | None:
        """The policy for a team whose file names `named`; None where there is none of that name."""
        chosen = self.teams.get(team) or self.in_place_of.get(named, named)
        return self.by_name.get(chosen)


def _host(text: str) -> str:
    allowlist.entry(text)
    return text


def _network(text: str) -> str:
    ipaddress.ip_network(text)
    return text


_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
_Strict = ConfigDict(extra="forbid", strict=True)


class _Limits(BaseModel):
    model_config = _Strict

    address_space: int = Field(Allowance().address_space, ge=50_000_000)
    memory: int = Field(Allowance().memory, ge=10_000_000)
    processes: int = Field(Allowance().processes, ge=8, le=100_000)
    open_files: int = Field(Allowance().open_files, ge=16, le=1_000_000)
    file_size: int = Field(Allowance().file_size, ge=1_000)
    scratch: int = Field(Allowance().scratch, ge=1_000_000)
    tree_files: int = Field(Allowance().tree_files, ge=1)
    tree_bytes: int = Field(Allowance().tree_bytes, ge=1_000)
    kept_output: int = Field(Allowance().kept_output, ge=100)
    most_output: int = Field(Allowance().most_output, ge=100)
    seconds: int = Field(Allowance().seconds, ge=1, le=86_400)


class _Policy(BaseModel):
    model_config = _Strict

    run: bool = True
    writable: bool = True
    hosts: list[Annotated[str, AfterValidator(_host)]] = []
    networks: list[Annotated[str, AfterValidator(_network)]] = []
    most_bytes: int = Field(Egress().bytes, ge=1)
    most_seconds: int = Field(Egress().seconds, ge=1, le=86_400)
    limits: _Limits = _Limits()  # pyright: ignore[reportCallIssue]


class _Environment(BaseModel):
    model_config = _Strict

    policies: dict[_Name, _Name] = {}
    teams: dict[str, _Name] = {}


class _File(BaseModel):
    model_config = _Strict

    policy: dict[_Name, _Policy] = {}
    teams: dict[str, _Name] = {}
    environment: dict[_Name, _Environment] = {}


def load(settings: Settings) -> Policies:
    """The factory's policies with the operator's over them, for the settings' environment.

    Raises PoliciesInvalid. Reads files: call it in a thread when a loop is running.
    """
    if settings.sandbox_file is None:
        return shipped(settings.environment)
    file = str(settings.sandbox_file)
    first, own = _shipped(), _parse(file, _read(settings.sandbox_file))
    merged = _File(policy=first.policy | own.policy, teams=own.teams, environment=own.environment)
    return _policies(file, merged, settings.environment)


def shipped(environment: str = "local") -> Policies:
    """The factory's own policies."""
    return _policies("policies.toml", _shipped(), environment)


def _shipped() -> _File:
    return _parse("policies.toml", (files("workspace") / "policies.toml").read_text("utf-8"))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST + 1)
        if len(text) > _MOST:
            raise PoliciesInvalid(str(path), "", f"is longer than {_MOST} bytes")
        return text.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise PoliciesInvalid(str(path), "", f"cannot be read as UTF-8 text ({error})") from error


def _parse(file: str, text: str) -> _File:
    try:
        return _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise PoliciesInvalid(file, "", f"is no valid TOML: {error}") from error
    except ValidationError as invalid:
        error = invalid.errors(include_url=False)[0]
        where = ".".join(str(part) for part in error["loc"] if part != "[key]")
        raise PoliciesInvalid(file, where, error["msg"]) from None


def _policies(file: str, written: _File, environment: str) -> Policies:
    here = written.environment.get(environment, _Environment())
    by_name = {name: _policy(file, name, policy) for name, policy in written.policy.items()}
    named = {"teams": written.teams} | {
        f"environment.{name}.{part}": table
        for name, each in written.environment.items()
        for part, table in (("teams", each.teams), ("policies", each.policies))
    }
    for where, table in named.items():
        for key, policy in table.items():
            if policy not in by_name:
                known = ", ".join(by_name)
                raise PoliciesInvalid(
                    file, f"{where}.{key}", f"there is no policy {policy!a}; there are {known}"
                )
            if where.endswith(".policies") and key not in by_name:
                raise PoliciesInvalid(file, f"{where}.{key}", "there is no policy of this name to replace")
    return Policies(by_name, here.policies, {**written.teams, **here.teams})


def _policy(file: str, name: str, written: _Policy) -> Policy:
    if name in PLAIN and written.hosts:
        raise PoliciesInvalid(
            file,
            f"policy.{name}.hosts",
            "this name means a sandbox without a network; give the policy another one",
        )
    if written.networks and not written.hosts:
        raise PoliciesInvalid(file, f"policy.{name}.networks", "opens networks to no host")
    egress = Egress(
        hosts=tuple(allowlist.entry(text) for text in written.hosts),
        networks=tuple(ipaddress.ip_network(text) for text in written.networks),
        bytes=written.most_bytes,
        seconds=written.most_seconds,
    )
    limits: dict[str, Any] = written.limits.model_dump()
    assert limits.keys() == asdict(Allowance()).keys()
    # A policy "net" without hosts refuses each one aloud; the others have no network to ask for.
    speaks = bool(written.hosts) or name not in PLAIN
    return Policy(name, written.run, written.writable, egress if speaks else None, Allowance(**limits))
