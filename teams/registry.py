"""Which teams there are: a pack's folders read, checked and frozen.

A pack is looked up in layers: a project's override folder first, then each of `settings.pack_dirs`, then the
packs that ship with the program. A team is a folder that has a `team.toml` in some layer; each of its files
is taken whole from the first layer that has it. Everything is checked at load, and each error says which file
and field, what is wrong and what would be right: a wrong team file must never show up as a strange run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from core.errors import NotFound
from teams.contract import PERSON
from teams.reading import ID, TeamInvalid, find, read, read_team
from teams.team import Team
from workspace.policies import PLAIN


class UnknownTeam(NotFound):
    """There is no team of that id."""


class PackNotFound(NotFound):
    """There is no pack of that name."""


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
        if not ID.fullmatch(pack):
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
        teams = [read_team(layers, folder, sandboxes, project_override) for folder in folders]
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
                found[file.name] = (read(file), str(file))
    return found


def _team_folders(layer: Traversable) -> list[str]:
    return [
        folder.name
        for folder in layer.iterdir()
        if not folder.name.startswith((".", "_")) and folder.joinpath("team.toml").is_file()
    ]


def _check_asks(layers: Sequence[Traversable], teams: Sequence[Team]) -> None:
    known = {team.id for team in teams}
    for team in teams:
        for asked in team.asks:
            if asked == team.id or asked not in known | {PERSON}:
                what = "asks itself" if asked == team.id else f"asks {asked!r}, which is no team"
                where = str(find(layers, team.id, "team.toml"))
                allowed = ", ".join(sorted(known - {team.id} | {PERSON}))
                raise TeamInvalid(where, "asks", what, allowed)
        for followed in team.change.follows:
            if followed not in known or followed == team.id:
                raise TeamInvalid(
                    str(find(layers, team.id, "team.toml")),
                    "change.follows",
                    f"{followed!r} is no other team",
                )
