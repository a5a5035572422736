"""Whose memory a command is about: banks by project and team, and memories by id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cli.screen import one_line
from core.database import Database
from core.errors import BadInput, NotFound
from core.settings import Settings
from memory.bank import Bank
from memory.records import SHARED, Kind, Memory
from memory.service import Memories
from memory.weights import Weights
from models.embeddings.local import LocalEmbedder
from models.service import Models
from teams.registry import Registry
from workspace import policies
from workspace.projects import Workspace, is_project_name


class KindUnknown(BadInput):
    """There is no such kind of memory."""


class BankUnclear(BadInput):
    """It is not clear whose memory is meant."""


class MemoryIdInvalid(BadInput):
    """That is no id of a memory."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which memories a command is about."""

    project: str
    team: str | None = None
    shared: bool = False
    kinds: tuple[str, ...] = ()

    @property
    def bank(self) -> str | None:
        """The name of the one bank that is meant; None for all. Raises BankUnclear."""
        if self.shared and self.team is not None:
            raise BankUnclear("--team and --shared mean two banks", todo="Give one of them")
        return SHARED if self.shared else self.team


@asynccontextmanager
async def opened(project: str | None = None) -> AsyncGenerator[Memories]:
    """The memory that the settings name; with the embedder of `project`, where texts are to be compared."""
    settings = Settings.load()
    async with Database.open(settings) as db:
        if project is None:
            async with Memories.open(db, LocalEmbedder()) as memories:
                yield memories
            return
        async with (
            await Models.open(settings, db) as models,
            Memories.open(
                db,
                await models.view(project=project).embedder(),
                weights=Weights.of(settings.recall_weights),
            ) as memories,
        ):
            yield memories


async def banks(memories: Memories, wanted: Wanted) -> list[Bank]:
    """The banks that are meant; raises NotFound where there is no such project, or no such bank in it."""
    known = await memories.banks(wanted.project) if "\0" not in wanted.project else []
    if not known:
        has_project(wanted.project)
    names = [info.name for info in known]
    if wanted.bank is None:
        return [await memories.bank(wanted.project, name) for name in names]
    if wanted.bank not in names:
        await asyncio.to_thread(is_team, wanted.bank)
        return []
    return [await memories.bank(wanted.project, wanted.bank)]


async def bank_of(memories: Memories, memory: Memory) -> tuple[str, str]:
    """Project and name of the bank of a memory."""
    return next((info.project, info.name) for info in await memories.banks() if info.id == memory.bank)


def has_project(project: str) -> None:
    """Raises NotFound where there is no such project."""
    known = is_project_name(project) and Workspace(Settings.load()).has(project)
    if not known:
        raise NotFound(
            f"There is no project {project[:80]!a}", todo="`factory runs` names the projects that there are"
        )


def is_team(name: str) -> None:
    """Raises NotFound where there is no such team."""
    if name == SHARED:
        return
    settings = Settings.load()
    registry = Registry.load(settings.pack, settings.pack_dirs, sandboxes=policies.load(settings).by_name)
    if name not in registry.ids:
        raise NotFound(
            f"There is no team {name[:80]!a}", untouched="Nothing was kept", todo="See: factory teams"
        )


def kinds_of(names: Sequence[str]) -> list[Kind] | None:
    """The kinds of these names; None for none at all. Raises KindUnknown."""
    known = {kind.value: kind for kind in Kind}
    for name in names:
        if name not in known:
            raise KindUnknown(
                f"There is no kind {name[:80]!a} of memory", todo=f"It is one of {', '.join(known)}"
            )
    return [known[name] for name in names] or None


def number_in(name: str) -> int | None:
    """The id in `12`, `m12` or `[m12]`; None where it is none."""
    digits = name.strip().strip("[]").removeprefix("m")
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else None


def id_in(name: str) -> int:
    """The id that was given. Raises MemoryIdInvalid."""
    if (number := number_in(name)) is None:
        raise MemoryIdInvalid(
            f"{name[:80]!a} is no id of a memory", todo="`factory memory search` shows ids, as m12"
        )
    return number


def plain(memory: Memory, bank: str) -> dict[str, Any]:
    """A memory for programs."""
    return {
        "id": memory.id,
        "bank": bank,
        "kind": memory.kind.value,
        "text": memory.text,
        "speaker": memory.speaker,
        "at": memory.at.isoformat(),
        "valid_from": memory.valid_from.isoformat(),
        "valid_to": None if memory.valid_to is None else memory.valid_to.isoformat(),
        "superseded_by": memory.superseded_by,
        "derived_from": list(memory.derived_from),
        "forgotten_at": None if memory.forgotten_at is None else memory.forgotten_at.isoformat(),
        "source": {
            "run_id": memory.source.run_id,
            "seq": memory.source.seq,
            "hash": memory.source.hash,
            "stage": memory.source.stage,
            "path": memory.source.path,
            "line": memory.source.line,
        },
    }


def said_by(memory: Memory) -> str:
    """Where a memory is from, on one line: run, stage, file and line."""
    source = memory.source
    file = f", {source.path}" + (f":{source.line}" if source.line else "") if source.path else ""
    return one_line(f"said in {source.run_id}, {source.stage}{file} (event {source.seq})", 300)
