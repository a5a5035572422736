"""One team's folder, read and checked: an error names file, field, what is wrong, and what would be right."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import BadInput
from teams import globs
from teams.contract import PERSON
from teams.grants import TOOL_RISK
from teams.mcp.declared import is_grant
from teams.team import ChangeRules, Limits, Operative, Role, SandboxPolicy, Team
from workspace.checks import CHECKS
from workspace.policies import PLAIN

_TEXT_FILES = {"soul": "SOUL.md", "agents": "AGENTS.md", "tools_notes": "TOOLS.md"}
MAX_FILE_CHARS = 200_000
ID = re.compile(r"[a-z][a-z0-9_]{1,39}")


class TeamInvalid(BadInput):
    """A team's folder is not valid."""

    def __init__(self, file: str, field: str, problem: str, allowed: str = "") -> None:
        self.file, self.field, self.problem, self.allowed = file, field, problem, allowed
        where = f"{file}: {field}" if field else file
        super().__init__(
            f"{where}: {problem}",
            untouched="No team was loaded and no run was touched",
            todo=f"Allowed: {allowed}" if allowed else "Correct the file",
        )


class UnknownTool(TeamInvalid):
    """A team file grants a tool that does not exist."""


class _OperativeFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    name: str = Field(min_length=1)
    role: Role
    instructions: str = Field(min_length=1)
    alias: str | None = None


class _TeamFile(BaseModel):
    """`team.toml` as it is written; see docs/teams.md for what each field does."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    name: str = Field(min_length=1)
    purpose: str = Field(min_length=1)
    alias: str = Field(min_length=1)
    required: bool = False
    skip_when: str = ""
    skip_unless: list[str] = []
    paths: list[str] = Field(min_length=1)
    deliverables: list[str] = Field(min_length=1)
    checks: list[str] = []
    tools: list[str] = Field(min_length=1)
    asks: list[str] = []
    threshold: int = Field(70, ge=0, le=100)
    sandbox: SandboxPolicy = "none"
    change: ChangeRules = ChangeRules()
    limits: Limits = Limits()  # pyright: ignore[reportCallIssue]
    operatives: list[_OperativeFile] = Field(min_length=1)


def find(layers: Sequence[Traversable], *parts: str) -> Traversable | None:
    """A file of a team, from the first layer that has it."""
    for layer in layers:
        file = layer.joinpath(*parts)
        if file.is_file():
            return file
    return None


def read(file: Traversable) -> str:
    """Its text. Raises TeamInvalid."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TeamInvalid(str(file), "", f"cannot be read as UTF-8 text ({error})") from error
    if len(text) > MAX_FILE_CHARS:
        raise TeamInvalid(str(file), "", f"is longer than {MAX_FILE_CHARS} characters")
    return text


def read_team(
    layers: Sequence[Traversable], folder: str, sandboxes: Collection[str], override: Path | None
) -> Team:
    """A team's folder, checked; a pack may name any of the policies `sandboxes`, a project only plain ones.

    Raises TeamInvalid, UnknownTool.
    """
    file = find(layers, folder, "team.toml")
    assert file is not None
    where = str(file)
    written = _parse(where, read(file))
    if not ID.fullmatch(written.id) or written.id == PERSON:
        raise TeamInvalid(where, "id", f"{written.id!r} is no id", "lower-case letters, digits and '_'")
    if written.id != folder:
        raise TeamInvalid(where, "id", f"{written.id!r} is not the name of its folder", f"id = {folder!r}")
    _check_names(where, written)
    of_project = override is not None and override in Path(where).parents
    _check_sandbox(where, written, PLAIN if of_project else sandboxes)
    _check_globs(where, written)
    texts = {
        field: _text(layers, folder, name, where, name, allowed=f"a file {name} beside team.toml")
        for field, name in _TEXT_FILES.items()
    }
    return Team(
        id=written.id,
        name=written.name,
        purpose=written.purpose,
        alias=written.alias,
        required=written.required,
        skip_when=written.skip_when,
        skip_unless=tuple(written.skip_unless),
        paths=tuple(written.paths),
        deliverables=tuple(written.deliverables),
        checks=tuple(written.checks),
        tools=tuple(written.tools),
        asks=tuple(written.asks),
        threshold=written.threshold,
        sandbox=written.sandbox,
        change=written.change,
        limits=written.limits,
        operatives=_operatives(layers, folder, where, written),
        soul=texts["soul"],
        agents=texts["agents"],
        tools_notes=texts["tools_notes"],
    )


def _parse(where: str, text: str) -> _TeamFile:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TeamInvalid(where, "", f"is no valid TOML: {error}") from error
    try:
        return _TeamFile.model_validate(data)
    except ValidationError as invalid:
        raise _first(where, data, invalid) from None


def _first(where: str, data: dict[str, Any], invalid: ValidationError) -> TeamInvalid:
    """The first thing pydantic found, in the words of a person who edits TOML."""
    error = invalid.errors(include_url=False)[0]
    field = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return TeamInvalid(where, field, "is no field of a team file", ", ".join(_fields(error["loc"])))
    if error["type"] == "missing":
        return TeamInvalid(where, field, "is missing", "a value; every field without a default is required")
    if error["type"] == "literal_error":
        return TeamInvalid(where, field, f"{error['input']!r} is unknown", str(error["ctx"]["expected"]))  # pyright: ignore[reportTypedDictNotRequiredAccess]
    return TeamInvalid(where, field, f"{error['msg']} (got {error['input']!r})")


def _fields(loc: tuple[int | str, ...]) -> list[str]:
    """The fields that are allowed at the place of an error."""
    model: type[BaseModel] = _TeamFile
    if len(loc) > 1 and loc[0] == "limits":
        model = Limits
    elif len(loc) > 1 and loc[0] == "change":
        model = ChangeRules
    elif len(loc) > 1 and loc[0] == "operatives":
        model = _OperativeFile
    return list(model.model_fields)


def _twin(names: Sequence[str]) -> str | None:
    return next((name for index, name in enumerate(names) if name in names[:index]), None)


def _check_names(where: str, written: _TeamFile) -> None:
    for tool in written.tools:
        if tool not in TOOL_RISK and not is_grant(tool):
            known = ", ".join((*TOOL_RISK, "mcp:SERVER/TOOL"))
            raise UnknownTool(where, "tools", f"{tool!r} is no tool", known)
    for check in written.checks:
        if check not in CHECKS:
            raise TeamInvalid(where, "checks", f"{check!r} is no check", ", ".join(sorted(CHECKS)))
    lists: dict[Literal["tools", "checks", "asks"], list[str]] = {
        "tools": written.tools,
        "checks": written.checks,
        "asks": written.asks,
    }
    for field, names in lists.items():
        if twin := _twin(names):
            raise TeamInvalid(where, field, f"{twin!r} stands twice")


def _check_sandbox(where: str, written: _TeamFile, sandboxes: Collection[str]) -> None:
    if written.sandbox not in sandboxes:
        raise TeamInvalid(where, "sandbox", f"{written.sandbox!r} is unknown", ", ".join(sandboxes))
    if "bash" in written.tools and written.sandbox == "none":
        raise TeamInvalid(
            where, "sandbox", "grants bash but has no sandbox to run it in", "read, build, test, or no bash"
        )


def _check_globs(where: str, written: _TeamFile) -> None:
    every = {
        "paths": written.paths,
        "deliverables": written.deliverables,
        "change.adopts": written.change.adopts,
    }
    for field, patterns in every.items():
        for pattern in patterns:
            if wrong := globs.problem(pattern):
                raise TeamInvalid(where, field, f"the glob {pattern!r} {wrong}")
    for pattern in written.deliverables:
        if not globs.any_matches(written.paths, globs.sample(pattern)):
            allowed = ", ".join(written.paths)
            raise TeamInvalid(
                where, "deliverables", f"{pattern!r} lies outside what the team may write", allowed
            )


def _operatives(
    layers: Sequence[Traversable], folder: str, where: str, written: _TeamFile
) -> tuple[Operative, ...]:
    if twin := _twin([operative.id for operative in written.operatives]):
        raise TeamInvalid(
            where, "operatives.id", f"{twin!r} stands twice", "a different id for each operative"
        )
    authors = [operative for operative in written.operatives if operative.role == "author"]
    if len(authors) != 1:
        raise TeamInvalid(
            where, "operatives.role", f"there are {len(authors)} authors", 'exactly one with role = "author"'
        )
    return tuple(
        Operative(
            id=operative.id,
            name=operative.name,
            role=operative.role,
            alias=operative.alias or written.alias,
            instructions=_text(
                layers,
                folder,
                operative.instructions,
                where,
                f"operatives.{operative.id}.instructions",
                allowed="a Markdown file inside the team's folder",
            ),
        )
        for operative in written.operatives
    )


def _text(
    layers: Sequence[Traversable], folder: str, name: str, where: str, field: str, *, allowed: str
) -> str:
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or any(part in {"", ".", ".."} for part in parts):
        raise TeamInvalid(where, field, f"{name!r} leads out of the team's folder", allowed)
    file = find(layers, folder, *parts)
    if file is None:
        raise TeamInvalid(where, field, f"there is no file {name}", allowed)
    text = read(file)
    if not text.strip():
        raise TeamInvalid(str(file), "", "is empty", allowed)
    return text.strip() + "\n"
