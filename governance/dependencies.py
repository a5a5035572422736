"""Which packages a product may depend on: by name, version and licence. Pure decisions over a file of rules.

The rules are data (`dependencies.toml`, or the file that `FACTORY_DEPENDENCY_FILE` names, which then replaces
it whole), checked when they are loaded. A project may narrow them, a person may allow more for one project.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from core.errors import BadInput
from workspace.dependencies.archive import Package
from workspace.dependencies.settings import Dependencies, licence
from workspace.licences import permits

ANY: Final = "*"
_MOST_BYTES = 1_000_000

Why = Literal["denied", "not-listed", "version", "licence-refused", "licence-unknown"]


class RulesInvalid(BadInput):
    """The allow-list of dependencies is not valid."""

    def __init__(self, file: str, where: str, problem: str) -> None:
        super().__init__(
            f"{file}: {where}: {problem}" if where else f"{file}: {problem}",
            untouched="Nothing was installed, and nothing was run",
            todo="Correct it; governance/dependencies.toml shows every field",
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be installed."""

    allowed: Mapping[str, str]
    """Normalised name → version specifier; `*` for every name."""
    licences: frozenset[str]
    """SPDX ids."""
    denied: frozenset[str]
    only: frozenset[str] | None = None
    """Of the allowed names, those that the project may use; None: all."""

    def narrowed(self, by: Dependencies) -> Rules:
        """These rules as a project has them: never more than these."""
        licences = self.licences if by.licences is None else self.licences & frozenset(by.licences)
        only = self.only if by.only is None else frozenset(by.only)
        return Rules(self.allowed, licences, self.denied | frozenset(by.denied), only)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a person allowed for a project."""

    name: str
    licence: str
    """As the package said it then: another one is asked about anew."""


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a package is not installed."""

    why: Why
    text: str

    @property
    def final(self) -> bool:
        """Whether nobody is asked: the operator has decided."""
        return self.why == "denied"


def denied(name: str, rules: Rules) -> Objection | None:
    """What speaks against a name before anything is known of it."""
    if name in rules.denied:
        return Objection("denied", "the operator's list denies it")
    return None


def judge(package: Package, rules: Rules, grants: Sequence[Grant]) -> Objection | None:
    """What speaks against a package; None where it may be installed. The first rule that speaks decides."""
    if objection := denied(package.name, rules):
        return objection
    granted = [grant for grant in grants if grant.name == package.name]
    if not granted and (objection := _listed(package, rules)):
        return objection
    said = package.licence
    if any(grant.licence == (said.expression or said.said) for grant in granted):
        return None
    if not said.known:
        what = f"says {said.said!a}, which no SPDX id stands for" if said.said else "names no licence"
        return Objection("licence-unknown", f"it {what}")
    if not permits(said.expression, rules.licences):
        return Objection("licence-refused", f"its licence, {said.expression}, is not one of those allowed")
    return None


def _listed(package: Package, rules: Rules) -> Objection | None:
    if rules.only is not None and package.name not in rules.only:
        return Objection("not-listed", "it is not on the project's list of allowed dependencies")
    specifier = rules.allowed.get(package.name, rules.allowed.get(ANY))
    if specifier is None:
        return Objection("not-listed", "it is not on the list of allowed dependencies")
    if not SpecifierSet(specifier).contains(package.version, prereleases=True):
        return Objection("version", f"the list allows {package.name}{specifier}, not {package.version}")
    return None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    licences: list[Annotated[str, AfterValidator(licence)]]
    denied: list[str] = []
    allowed: dict[str, str] = {}


def load(path: Path | None) -> Rules:
    """The rules in a file, or those that ship with the program. Raises RulesInvalid. Reads a file."""
    source = resources.files("governance").joinpath("dependencies.toml") if path is None else path
    where = str(source)
    try:
        raw = source.read_bytes()
        if len(raw) > _MOST_BYTES:
            raise RulesInvalid(where, "", f"is bigger than {_MOST_BYTES} bytes")
        written = _File.model_validate(tomllib.loads(raw.decode("utf-8")))
    except OSError as error:
        raise RulesInvalid(where, "", f"cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RulesInvalid(where, "", f"cannot be read as TOML: {error}") from error
    except ValidationError as invalid:
        error = invalid.errors(include_url=False)[0]
        at = ".".join(str(part) for part in error["loc"])
        raise RulesInvalid(where, at, str(error["msg"]).removeprefix("Value error, ")) from None
    allowed: dict[str, str] = {}
    for name, specifier in written.allowed.items():
        try:
            SpecifierSet(specifier)
        except InvalidSpecifier:
            raise RulesInvalid(where, f"allowed.{name}", f"{specifier!r} is no version specifier") from None
        allowed[ANY if name == ANY else canonicalize_name(name)] = specifier
    refused = frozenset(canonicalize_name(name) for name in written.denied)
    return Rules(allowed, frozenset(written.licences), refused)
