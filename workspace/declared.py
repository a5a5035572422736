"""What a `project.toml` declares to be checked: commands of any language, and the product's page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from core.errors import FactoryError
from workspace.beneath import parts_of
from workspace.files import matcher

ParserName = Literal["exit-code", "tap", "junit", "go-test-json"]

MOST_CHECKS: Final = 20
RESERVED: Final = frozenset(
    {
        *("tests", "types", "lint", "secrets", "links", "json", "openapi"),
        *("audit", "licences", "dockerfile", "compose", "browser", "settings"),
    }
)
"""Names of the factory's own checks, which no project may take."""
HEAVIEST: Final = 30
"""The most that a declared check may count for: as much as the factory's own tests."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_TABLE = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


def _command(value: str) -> str:
    if not value.strip() or not all(c.isprintable() or c in "\n\t" for c in value):
        raise ValueError("must be a command line without control characters")
    return value


def _inside(value: str) -> str:
    try:
        return "/".join(parts_of(value)) if value else value
    except FactoryError:
        raise ValueError("must be a path inside the project, without ..") from None


class DeclaredCheck(BaseModel):
    """One entry of `[[checks]]`."""

    model_config = _TABLE

    name: str
    command: str = Field(max_length=2_000)
    """A shell command line, run in the sandbox at the top of the project."""
    parser: ParserName = "exit-code"
    report: str = Field(default="", max_length=300)
    """With `junit`: the file that the command writes, a path inside the project."""
    weight: int = Field(default=10, ge=0, le=HEAVIEST)
    paths: tuple[str, ...] = Field(default=(), max_length=50, strict=False)
    """Globs: it is run where the run changed such a path. Without any it is always run."""
    policy: str = "test"
    """The sandbox policy. The copy in the repository may name one without a network only."""
    seconds: int = Field(default=300, ge=1, le=3_600)

    @field_validator("name")
    @classmethod
    def _named(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("must be 1 to 40 of a-z, 0-9 and -, and begin with a letter")
        if value in RESERVED:
            raise ValueError(f"{value!r} is one of the factory's own checks: take another name")
        return value

    @field_validator("command")
    @classmethod
    def _runs(cls, value: str) -> str:
        return _command(value)

    @field_validator("report")
    @classmethod
    def _report_inside(cls, value: str) -> str:
        return _inside(value)

    @field_validator("paths")
    @classmethod
    def _globs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            if not pattern or len(pattern) > 200 or not pattern.isprintable():
                raise ValueError("must hold globs as in src/**/*.go")
        return value

    @model_validator(mode="after")
    def _with_its_report(self) -> Self:
        if (self.parser == "junit") != bool(self.report):
            raise ValueError('report = "path of the XML file" goes with parser = "junit", and with no other')
        return self

    def covers(self, paths: Sequence[str]) -> bool:
        """Whether one of the paths is of those that it is for."""
        tests = [matcher(pattern) for pattern in self.paths]
        return not tests or any(test(path) for test in tests for path in paths)


class Page(BaseModel):
    """`[page]`: how the product's page is served, for a look at it with a browser."""

    model_config = _TABLE

    command: str = Field(max_length=2_000)
    """A shell command line that serves until it is ended, on 127.0.0.1 at `{port}`."""
    path: str = Field(default="/", max_length=500)
    seconds: int = Field(default=20, ge=1, le=120)
    """How long it may take to answer."""

    @field_validator("command")
    @classmethod
    def _runs(cls, value: str) -> str:
        return _command(value)

    @field_validator("path")
    @classmethod
    def _on_the_server(cls, value: str) -> str:
        if not re.fullmatch(r"/[A-Za-z0-9._~!$&()*+,;=:@%/?#-]*", value):
            raise ValueError("must begin with / and be a plain address on the server")
        return value


def unlike(checks: tuple[DeclaredCheck, ...]) -> tuple[DeclaredCheck, ...]:
    """The checks, when each has a name of its own. Raises ValueError."""
    names = [check.name for check in checks]
    if len(names) > MOST_CHECKS:
        raise ValueError(f"must be at most {MOST_CHECKS}")
    if twins := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{twins[0]!r} stands twice")
    return checks
