"""A pipeline as data: which stages, what each waits for, where a review sends a run back to."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from core.errors import BadInput
from core.json import is_array, is_object


class PipelineInvalid(BadInput):
    """A pipeline file cannot be used."""


class UnknownPipeline(BadInput):
    """There is no pipeline of that name."""


@dataclass(frozen=True, slots=True)
class PipelineStage:
    """One team's place in a pipeline."""

    team: str
    needs: tuple[str, ...]
    wave: int
    """1 for a stage that needs nothing, else one more than the latest of its needs (longest path)."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """An acyclic pipeline, its stages in the order of their waves."""

    name: str
    description: str
    stages: tuple[PipelineStage, ...]
    returns_to: str
    """The team to which a review's comment goes back."""
    max_rounds: int
    max_repairs: int
    """Conflicts with main that teams may repair in one run before a person is asked."""

    @property
    def teams(self) -> tuple[str, ...]:
        """Team ids in order."""
        return tuple(stage.team for stage in self.stages)

    @property
    def sinks(self) -> tuple[str, ...]:
        """Teams that no other stage waits for: `validate` waits for them."""
        needed = {need for stage in self.stages for need in stage.needs}
        return tuple(stage.team for stage in self.stages if stage.team not in needed)


ALONE: Final = "team:"
"""What the name of a pipeline of one team begins with."""


def alone(name: str, team: str, description: str) -> Pipeline:
    """A pipeline of one team, for work that is that team's alone."""
    return Pipeline(name, description, (PipelineStage(team, (), 1),), team, max_rounds=3, max_repairs=2)


def names(text: str, *, where: str) -> list[str]:
    """The pipelines that a `pipeline.toml` has; raises PipelineInvalid."""
    return list(_tables(text, where))


def load(text: str, name: str, known_teams: Sequence[str], *, where: str) -> Pipeline:
    """Read the pipeline `name` from the text of a `pipeline.toml`; `where` names the file in errors.

    Raises PipelineInvalid (file, pipeline, what is wrong) or UnknownPipeline (names those that exist).
    """
    return _loaded(text, name, tuple(known_teams), where)


@lru_cache(maxsize=64)
def _loaded(text: str, name: str, known_teams: Sequence[str], where: str) -> Pipeline:
    # To read it takes longer than all else that a submit computes, and its text seldom changes.
    pipelines = _tables(text, where)
    if name not in pipelines:
        known = ", ".join(sorted(pipelines))
        raise UnknownPipeline(
            f"There is no pipeline {name!r}", untouched="Nothing was started", todo=f"Use one of: {known}"
        )
    return build(name, pipelines[name], known_teams, where=f"{where} [pipelines.{name}]")


def _tables(text: str, where: str) -> Mapping[str, Any]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PipelineInvalid(f"{where} cannot be read: {error}", todo="Correct the file") from error
    pipelines = data.get("pipelines")
    if not is_object(pipelines) or not pipelines:
        raise PipelineInvalid(f"{where} has no [pipelines.…] table", todo="Add one, see docs/extending.md")
    return pipelines


def build(name: str, table: Mapping[str, Any], known_teams: Sequence[str], *, where: str) -> Pipeline:
    """A Pipeline from its table; raises PipelineInvalid for what cannot be run."""
    unknown_keys = set(table) - {"description", "returns_to", "max_rounds", "max_repairs", "stages"}
    _refuse_if(bool(unknown_keys), where, f"unknown field {', '.join(sorted(unknown_keys))}")
    stages = table.get("stages")
    if not is_array(stages) or not stages:
        raise PipelineInvalid(f"{where} has no stages", todo="Add at least one [[….stages]]")
    needs = _needs(stages, known_teams, where)
    waves = _waves(needs, where)
    ordered = sorted(needs, key=lambda team: (waves[team], list(needs).index(team)))
    returns_to = table.get("returns_to", ordered[0])
    max_rounds, max_repairs = table.get("max_rounds", 3), table.get("max_repairs", 2)
    _refuse_if(
        returns_to not in needs, where, f"returns_to names {returns_to!r}, which is not one of its stages"
    )
    _refuse_if(
        not isinstance(max_rounds, int) or isinstance(max_rounds, bool) or max_rounds < 1,
        where,
        "max_rounds must be a whole number of at least 1",
    )
    _refuse_if(
        not isinstance(max_repairs, int) or isinstance(max_repairs, bool) or max_repairs < 0,
        where,
        "max_repairs must be a whole number of at least 0",
    )
    _refuse_orphans(needs, waves, returns_to, where)
    return Pipeline(
        name=name,
        description=str(table.get("description", "")),
        stages=tuple(PipelineStage(team, needs[team], waves[team]) for team in ordered),
        returns_to=returns_to,
        max_rounds=max_rounds,
        max_repairs=max_repairs,
    )


def _needs(stages: Sequence[Any], known_teams: Sequence[str], where: str) -> dict[str, tuple[str, ...]]:
    needs: dict[str, tuple[str, ...]] = {}
    for index, stage in enumerate(stages, 1):
        if not is_object(stage) or not isinstance(stage.get("team"), str):
            raise PipelineInvalid(f"{where} stage {index} has no team", todo='Give it team = "…"')
        team, wanted = stage["team"], stage.get("needs", [])
        _refuse_if(team not in known_teams, where, f"unknown team {team!r}")
        _refuse_if(team in needs, where, f"team {team!r} stands there twice")
        _refuse_if(
            not is_array(wanted) or not all(isinstance(need, str) for need in wanted),
            where,
            f"needs of {team!r} must be a list of team ids",
        )
        needs[team] = tuple(wanted)
    for team, wanted in needs.items():
        for need in wanted:
            _refuse_if(need not in needs, where, f"{team!r} needs {need!r}, which is not one of its stages")
    return needs


def _waves(needs: Mapping[str, Sequence[str]], where: str) -> dict[str, int]:
    waves: dict[str, int] = {}
    while len(waves) < len(needs):
        ready = [team for team in needs if team not in waves and all(need in waves for need in needs[team])]
        if not ready:
            circle = ", ".join(team for team in needs if team not in waves)
            raise PipelineInvalid(
                f"{where}: the stages wait for each other in a circle ({circle})", todo="Remove a need"
            )
        for team in ready:
            waves[team] = 1 + max((waves[need] for need in needs[team]), default=0)
    return waves


def _refuse_orphans(
    needs: Mapping[str, Sequence[str]], waves: Mapping[str, int], returns_to: str, where: str
) -> None:
    """A second round runs `returns_to` and what follows: a join with anything else would wait for ever."""
    again = {returns_to}
    for team in sorted(needs, key=lambda team: waves[team]):
        if any(need in again for need in needs[team]):
            again.add(team)
            missing = [need for need in needs[team] if need not in again]
            _refuse_if(
                bool(missing),
                where,
                f"{team!r} needs {', '.join(missing)}, which a second round from {returns_to!r} does not run",
            )


def _refuse_if(wrong: bool, where: str, what: str) -> None:
    if wrong:
        raise PipelineInvalid(f"{where}: {what}", untouched="Nothing was started", todo="Correct the file")
