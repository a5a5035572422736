"""`/api/v1/memory`: what the teams of a project remember, and why."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, status
from pydantic import BaseModel, ConfigDict, Field

from api.access import Answerer, Caller, Reader, ReaderWithin, may
from api.once import Once, OnceRoute
from api.paging import After, Limit, Listing, Page
from api.service import Service, Serving
from api.v1.wanted import Name, ProjectName, Wanted
from core.errors import NotFound
from graph import memories as memories_of
from graph.memories import MemoriesFound, MemoryShown
from memory import origins
from memory.records import SHARED, Kind, Memory
from memory.service import Memories
from models.embeddings.local import LocalEmbedder

router = APIRouter(tags=["memory"], route_class=OnceRoute)

MemoryName = Annotated[
    str, Path(description="A memory's id, or how it is shown: `m2.17`.", examples=["m2.17"], max_length=40)
]
Forgetter = Annotated[Caller, Depends(may("forget", within=True))]
AnswererWithin = Annotated[Caller, Depends(may("answer", within=True))]


class BankShown(BaseModel):
    """What one team remembers, or all of them."""

    model_config = ConfigDict(frozen=True)

    bank: str
    live: int
    embedders: list[str]


class BankList(BaseModel):
    """The banks of a project."""

    model_config = ConfigDict(frozen=True)

    project: str
    banks: list[BankShown]


class MemoryPage(Page[MemoryShown]):
    """Memories in the order in which they came."""


class MemoryWanted(Wanted):
    """What a team is to remember."""

    text: Annotated[str, Field(min_length=1, max_length=16_000, pattern=r"\S")]
    team: Annotated[Name | None, Field(description="Who; or `shared` for all teams.")] = None
    shared: bool = False
    kind: Annotated[
        Literal["directive", "fact", "decision"],
        Field(description="directive: a rule that always holds."),
    ] = "directive"


class MemoryKept(MemoryShown):
    """What became of it."""

    outcome: str
    """new, duplicate or near_duplicate."""
    superseded: list[int]
    masked: list[str]
    """Kinds of secrets that were masked before it was kept."""


class ForgetWanted(Wanted):
    """Why a memory is to be forgotten."""

    reason: Annotated[str, Field(max_length=2_000, description="Kept in the audit.")] = ""


class Forgot(BaseModel):
    """What is gone, and where its text still stands."""

    model_config = ConfigDict(frozen=True)

    forgotten: list[int]
    """Those that said the same, and those made of it, too; empty where it was done before."""
    cut: int
    """Texts of the audit that it was cut out of."""
    kept: list[str]
    """Events that still hold it: a record never changes."""
    too_short: int
    still_working: list[str]
    """Runs that are not over, and work with their copy of it still."""


class Shared(BaseModel):
    """A memory that all teams read now."""

    model_config = ConfigDict(frozen=True)

    memory: int
    shared: int
    outcome: str


class OriginShown(BaseModel):
    """A place that a belief comes from."""

    model_config = ConfigDict(frozen=True)

    how: str
    """memory: recalled. brief, result, file: it stands in what the stage was given or wrote."""
    run_id: str
    stage: str
    seq: int
    path: str | None
    line: int | None
    """Of the file, or of the brief."""
    text: str
    """The line itself."""
    memory: int | None
    says: str | None
    """What the memory says."""
    told_at: int | None
    """The event by which the first stage was told so."""
    told_to: list[str]
    """The stages that were told so."""
    section: str | None
    """The heading that it stands under in a brief."""


class Why(BaseModel):
    """Where a belief comes from."""

    model_config = ConfigDict(frozen=True)

    phrase: str
    origins: list[OriginShown]


@dataclass(frozen=True, slots=True)
class House:
    """What of a factory a memory may be of. Raises NotFound."""

    service: Service

    def has_project(self, project: str) -> None:
        """There is such a project."""
        if not self.service.factory.services.workspace.has(project):
            raise NotFound(f"There is no project {project[:80]!a}", todo="List the projects")

    def is_team(self, name: str) -> None:
        """There is such a team, or all share it."""
        if name != SHARED and name not in self.service.factory.registry.ids:
            raise memories_of.no_team(name)


@router.get("/projects/{project}/memories/search")
async def search(
    service: Serving,
    _: Reader,
    project: ProjectName,
    query: Annotated[str, Query(min_length=1, max_length=10_000, description="What you want to know.")],
    team: Annotated[Name | None, Query(description="The bank of this team only.")] = None,
    shared: Annotated[bool, Query(description="The bank that all teams read.")] = False,
    kind: Annotated[list[Kind] | None, Query(max_length=4)] = None,
    limit: Limit = 10,
    as_of: Annotated[datetime | None, Query(description="As it was known then; UTC.")] = None,
) -> MemoriesFound:
    """Find what the teams know about something, the best first."""
    when = as_of.replace(tzinfo=as_of.tzinfo or UTC) if as_of else None
    wanted = memories_of.Wanted(project, team, shared=shared, kinds=tuple(kind or ()))
    memories = await _of(service, project)
    return await memories_of.search(memories, House(service), wanted, query, limit=limit, as_of=when)


@router.get("/projects/{project}/banks")
async def banks(service: Serving, _: Reader, project: ProjectName) -> BankList:
    """The banks of a project."""
    async with anybodys(service) as memories:
        found = await memories.banks(project) if project.isprintable() else []
    if not found:
        House(service).has_project(project)
    return BankList(
        project=project,
        banks=[
            BankShown(bank=one.name, live=one.live, embedders=[space.embedder for space in one.spaces])
            for one in found
        ],
    )


@router.get("/projects/{project}/banks/{bank}/memories")
async def list_(
    service: Serving,
    _: Reader,
    project: ProjectName,
    bank: Annotated[str, Path(description=f"A team's id, or `{SHARED}`.", max_length=200)],
    kind: Annotated[list[Kind] | None, Query(max_length=4)] = None,
    past: Annotated[bool, Query(description="Also what holds no more; what was forgotten never.")] = False,
    limit: Limit = 50,
    after: After = None,
) -> MemoryPage:
    """What lies in one bank, in the order in which it came."""
    kinds = sorted(set(kind or ()))
    listing = Listing("memories", {"p": project, "b": bank, "k": kinds, "o": past}, (int,))
    place = listing.read(after)
    async with anybodys(service) as memories:
        found = await memories.find(project, bank) if (project + bank).isprintable() else None
        if found is None:
            House(service).has_project(project)
            House(service).is_team(bank)
            return MemoryPage(items=[])
        rows = await found.list(kinds or None, past=past, after=place[0] if place else 0, limit=limit + 1)
    shown, next_ = listing.page(rows, limit, lambda one: (one.id,))
    return MemoryPage(items=[memories_of.shown(one, bank) for one in shown], next=next_)


@router.post("/projects/{project}/memories", status_code=status.HTTP_201_CREATED)
async def add(
    wanted: MemoryWanted, service: Serving, caller: Answerer, project: ProjectName, once: Once
) -> MemoryKept:
    """Tell a team, or all of them, a rule or a fact. It stands in the caller's name."""
    meant = memories_of.Wanted(project, wanted.team, shared=wanted.shared)
    kept = await memories_of.tell(
        await _of(service, project), House(service), meant, wanted.text.strip(), wanted.kind,
        by=caller.name, key=once.named("told"),
    )  # fmt: skip
    return MemoryKept(
        **dict(memories_of.shown(kept.memory, kept.bank)),
        outcome=kept.added.outcome,
        superseded=list(kept.added.superseded),
        masked=list(kept.masked),
    )


@router.get("/memories/{memory_id}")
async def show(service: Serving, caller: ReaderWithin, memory_id: MemoryName) -> MemoryShown:
    """One memory, whatever became of it."""
    async with anybodys(service) as memories:
        memory, _, bank = await _found(memories, memory_id, caller)
    return memories_of.shown(memory, bank)


@router.post("/memories/{memory_id}/forget")
async def forget(
    wanted: ForgetWanted, service: Serving, caller: Forgetter, memory_id: MemoryName, once: Once
) -> Forgot:
    """Take a memory out of wherever it stands, with all that was made of it. It cannot be undone."""
    async with anybodys(service) as memories:
        memory, _, _ = await _found(memories, memory_id, caller)
        gone, audit, copies = await memories_of.forget(
            memories, [memory.id], why=wanted.reason, by=caller.name
        )
    return Forgot(
        forgotten=list(gone),
        cut=len(audit.done.cuts),
        kept=[f"{run}, event {seq} ({place})" for run, seq, place in audit.done.kept],
        too_short=len(audit.short),
        still_working=copies.left,
    )


@router.post("/memories/{memory_id}/promote")
async def promote(service: Serving, caller: AnswererWithin, memory_id: MemoryName, once: Once) -> Shared:
    """Share a team's memory with all teams of its project."""
    async with anybodys(service) as memories:
        memory, project, _ = await _found(memories, memory_id, caller)
        info = await memories_of.bank_of(memories, memory)
    added = await memories_of.share(await _of(service, project), info, memory.id, by=caller.name)
    return Shared(memory=memory.id, shared=added.id, outcome=added.outcome)


@router.get("/memories")
async def why(
    service: Serving,
    caller: ReaderWithin,
    phrase: Annotated[str, Query(min_length=1, max_length=1_000, description="What is believed, in words.")],
    run: Annotated[Name | None, Query(description="Who believed it: a run.")] = None,
    stage: Annotated[Name | None, Query(description="A stage of that run, by its team.")] = None,
) -> Why:
    """Why is this believed? Names run, stage, file and line."""
    run_id = None
    if run is not None:
        found = await service.factory.services.runs.named(run)
        caller.require_project(found.project)
        run_id = found.id
    else:
        caller.require_project(None)
    async with anybodys(service) as memories:
        told = await origins.origins(service.factory.db, memories, phrase, run_id=run_id, stage=stage)
    return Why(phrase=phrase, origins=[OriginShown(**asdict(one)) for one in told[: origins.MOST]])


async def _of(service: Service, project: str) -> Memories:
    """The memory of a project, with the embedder that its models have."""
    House(service).has_project(project)
    services = service.factory.services
    return await services.memory.of(project, services.models.view(project=project))


@asynccontextmanager
async def anybodys(service: Service) -> AsyncGenerator[Memories]:
    """The memory of all projects, where nothing is embedded."""
    async with Memories.open(service.factory.db, LocalEmbedder()) as memories:
        yield memories


async def _found(memories: Memories, name: str, caller: Caller) -> tuple[Memory, str, str]:
    """A memory with its project and bank; of a project that the caller may see."""
    try:
        memory = await memories.get(memories_of.id_in(name))
    except NotFound:
        caller.require_project(None)
        raise
    info = await memories_of.bank_of(memories, memory)
    caller.require_project(info.project)
    return memory, info.project, info.name
