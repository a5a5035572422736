"""Which teams there are: a pack's folders read, checked and frozen.

A pack is looked up in layers: a project's override folder first, then each of `settings.pack_dirs`, then the
packs that ship with the program. A team is a folder that has a `team.toml` in some layer; each of its files
is taken whole from the first layer that has it. Everything is checked at load, and each error says which file
and field, what is wrong and what would be right: a wrong team file must never show up as a strange run.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import BadInput, NotFound
from teams import globs
from teams.contract import PERSON
from teams.grants import TOOL_RISK
from teams.mcp.declared import is_grant
from teams.team import ChangeRules, Limits, Operative, Role, SandboxPolicy, Team
from workspace.checks import CHECKS
from workspace.policies import PLAIN

__all__ = [
    "Limits",
    "Operative",
    "PackNotFound",
    "Registry",
    "Team",
    "TeamInvalid",
    "UnknownTeam",
    "UnknownTool",
]

TEXT_FILES = {"soul": "SOUL.md", "agents": "AGENTS.md", "tools_notes": "TOOLS.md"}
MAX_FILE_CHARS = 200_000
_ID = re.compile(r"[a-z][a-z0-9_]{1,39}")


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


class UnknownTeam(NotFound):
    """There is no team of that id."""


class PackNotFound(NotFound):
    """There is no pack of that name."""


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


class Registry:
    """The teams of one pack."""

    def __init__(self, pack: str, files: Mapping[str, tuple[str, str]], teams: Sequence[Team]) -> None:
        self.pack = pack
        self._files = files
        self._teams = {team.id: team for team in teams}

    @classmethod
    def load(
        cls,
        pack: str,
        dirs: Sequence[Path] = (),
        project_override: Path | None = None,
        sandboxes: Collection[str] = (*PLAIN, "net"),
    ) -> Registry:
        """Read and check a pack. Reads files, so call it in a thread when a loop is running.

        `dirs` hold packs (`<dir>/<pack>/<team>/team.toml`); `project_override` holds teams directly
        (`<override>/<team>/SOUL.md`). `sandboxes` are the names of the sandbox policies there are; a project
        may choose among those without a network only. Raises `PackNotFound`, `TeamInvalid`, `UnknownTool`.
        """
        if not _ID.fullmatch(pack):
            raise PackNotFound(
                f"{pack!r} is no name of a pack", todo="Use lower-case letters, digits and '_'"
            )
        shipped = resources.files("teams").joinpath("packs", pack)
        packs: list[Traversable] = [layer for layer in (*(d / pack for d in dirs), shipped) if layer.is_dir()]
        if not packs:
            looked = ", ".join(str(folder) for folder in [*dirs, "the shipped packs"])
            raise PackNotFound(
                f"There is no pack {pack!r} (looked in {looked})",
                untouched="Nothing was started",
                todo="Correct FACTORY_PACK, or name the folder that holds the pack in FACTORY_PACK_DIRS",
            )
        layers: list[Traversable] = packs
        if project_override is not None and project_override.is_dir():
            layers = [project_override, *packs]
        folders = sorted({folder for layer in layers for folder in _team_folders(layer)})
        if not folders:
            raise TeamInvalid(
                str(packs[0]), "", "the pack has no team", "a folder with a team.toml for each team"
            )
        teams = [_read_team(layers, folder, sandboxes, project_override) for folder in folders]
        _check_asks(layers, teams)
        return cls(pack, _pack_files(layers), teams)

    def team(self, team_id: str) -> Team:
        """The team of that id; raises `UnknownTeam` naming the ones there are."""
        try:
            return self._teams[team_id]
        except KeyError:
            known = ", ".join(self._teams)
            raise UnknownTeam(
                f"The pack {self.pack} has no team {team_id!r}", todo=f"Known: {known}"
            ) from None

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all teams, sorted."""
        return tuple(self._teams)

    def __iter__(self) -> Iterator[Team]:
        return iter(self._teams.values())

    def __len__(self) -> int:
        return len(self._teams)

    def __contains__(self, team_id: object) -> bool:
        return team_id in self._teams

    def pack_file(self, name: str) -> tuple[str, str]:
        """A TOML file of the pack itself, such as pipeline.toml: its text and where it lies.

        Raises `NotFound`.
        """
        if name not in self._files:
            raise NotFound(f"The pack {self.pack} has no {name}")
        return self._files[name]


def _pack_files(layers: Sequence[Traversable]) -> dict[str, tuple[str, str]]:
    """The TOML files beside the teams' folders, each from the first layer that has it, with its place."""
    found: dict[str, tuple[str, str]] = {}
    for layer in layers:
        for file in layer.iterdir():
            if file.name.endswith(".toml") and file.name not in found and file.is_file():
                found[file.name] = (_read(file), str(file))
    return found


def _team_folders(layer: Traversable) -> list[str]:
    return [
        folder.name
        for folder in layer.iterdir()
        if not folder.name.startswith((".", "_")) and folder.joinpath("team.toml").is_file()
    ]


def _find(layers: Sequence[Traversable], *parts: str) -> Traversable | None:
    for layer in layers:
        file = layer.joinpath(*parts)
        if file.is_file():
            return file
    return None


def _read(file: Traversable) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TeamInvalid(str(file), "", f"cannot be read as UTF-8 text ({error})") from error
    if len(text) > MAX_FILE_CHARS:
        raise TeamInvalid(str(file), "", f"is longer than {MAX_FILE_CHARS} characters")
    return text


def _read_team(
    layers: Sequence[Traversable], folder: str, sandboxes: Collection[str], override: Path | None
) -> Team:
    file = _find(layers, folder, "team.toml")
    assert file is not None
    where = str(file)
    written = _parse(where, _read(file))
    if not _ID.fullmatch(written.id) or written.id == PERSON:
        raise TeamInvalid(where, "id", f"{written.id!r} is no id", "lower-case letters, digits and '_'")
    if written.id != folder:
        raise TeamInvalid(where, "id", f"{written.id!r} is not the name of its folder", f"id = {folder!r}")
    _check_names(where, written)
    of_project = override is not None and override in Path(where).parents
    _check_sandbox(where, written, PLAIN if of_project else sandboxes)
    _check_globs(where, written)
    texts = {
        field: _text(layers, folder, name, where, name, allowed=f"a file {name} beside team.toml")
        for field, name in TEXT_FILES.items()
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
    file = _find(layers, folder, *parts)
    if file is None:
        raise TeamInvalid(where, field, f"there is no file {name}", allowed)
    text = _read(file)
    if not text.strip():
        raise TeamInvalid(str(file), "", "is empty", allowed)
    return text.strip() + "\n"


def _check_asks(layers: Sequence[Traversable], teams: Sequence[Team]) -> None:
    known = {team.id for team in teams}
    for team in teams:
        for asked in team.asks:
            if asked == team.id or asked not in known | {PERSON}:
                what = "asks itself" if asked == team.id else f"asks {asked!r}, which is no team"
                where = str(_find(layers, team.id, "team.toml"))
                allowed = ", ".join(sorted(known - {team.id} | {PERSON}))
                raise TeamInvalid(where, "asks", what, allowed)
        for followed in team.change.follows:
            if followed not in known or followed == team.id:
                raise TeamInvalid(
                    str(_find(layers, team.id, "team.toml")),
                    "change.follows",
                    f"{followed!r} is no other team",
                )
