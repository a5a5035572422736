"""What a team is told from memory: bounded, marked, with its source, and written down as it was told.

A node can run twice, and another run may have added to a bank in between. What counts is the recall set
that the log has: it is told again as it was the first time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from core import clock, logs
from core.events import Event
from core.json import JsonObject, JsonValue, is_array
from graph import opening
from graph.remembering import FAILURES, told_of
from graph.stage_context import StageContext
from graph.state import StageState
from memory.mental_models.page import Page
from memory.mental_models.reading import sources_of
from memory.mental_models.service import MentalModels
from memory.records import SHARED, Kind, Memory, Recalled
from memory.service import Memories
from memory.telling import Told
from models.errors import UnknownAlias, UnknownModel
from models.service import Models

RECALLED: Final = "memory.recalled"
"""The kind of event that a recall set is kept with."""

_log = logs.get(__name__)

_SHARE: Final = 12
"""A brief's memories take at most one part in so many of the model's window."""
_BYTES_PER_TOKEN: Final = 3
_LONGEST_QUERY: Final = 1_000
"""Characters of what is looked for: a requirement may be a hundred times as long."""
_IN_BRIEF: Final = 24
_OF_SHARED: Final = 12
_IN_ANSWER: Final = 12
_SPARE: Final = 2
"""So many times more is asked for than is told: some of it may not stand."""
_LEARNT: Final = (Kind.FACT, Kind.EXPERIENCE, Kind.DECISION)


@dataclass(frozen=True, slots=True)
class Recollection:
    """What is told from memory."""

    rules: tuple[Told, ...] = ()
    """Directives: what a person has told the team to follow always."""
    lines: tuple[Told, ...] = ()
    note: str = ""
    """What was missing, in words; empty where nothing was."""
    page: tuple[str, ...] = ()
    """Lines of the team's mental model, but for those that say no more than what was recalled."""

    def kept(self) -> JsonObject:
        """For a recording."""
        return {
            "rules": [line.kept() for line in self.rules],
            "lines": [line.kept() for line in self.lines],
            "note": self.note,
            "page": list(self.page),
        }

    @classmethod
    def read(cls, kept: Any) -> Self:
        """What a recording has."""
        rules, lines = (tuple(Told.read(each) for each in kept[name]) for name in ("rules", "lines"))
        return cls(rules, lines, str(kept["note"]), tuple(map(str, kept["page"])))


NOTHING: Final = Recollection()


async def for_brief(stage: StageContext, state: StageState) -> Recollection:
    """What the team remembers about its objective, within the share of a brief that memory may have.

    Never fails for memory's sake: without it, a stage works as it did before there was any.
    """
    try:
        models = await stage.services.models_for(state["run_id"], stage.team.id)
        if models.replays:
            return _of_tape(stage, state, models, "recalled")
        opened = await _open(stage, state)
        if opened is None:
            return NOTHING
        query = "\n".join((state.get("comment", ""), state["requirement"], stage.team.purpose))
        found = await _found(stage, state, opened, query, (_IN_BRIEF, _OF_SHARED), with_page=True)
        if found is None:
            return NOTHING
        return await _told(stage, state, found, "recalled")
    except FAILURES as failure:
        return await _without(stage, state, failure, "brief", "recalled")


async def _without(
    stage: StageContext, state: StageState, failure: Exception, at: str, suffix: str
) -> Recollection:
    """What is told where nothing can be recalled: why. It is written down."""
    why = told_of(failure)
    _log.warning("memory.not_recalled", run=state["run_id"], team=stage.team.id, why=why)
    await stage.event(state, "memory.failed", {"at": at, "why": why}, f"{suffix}/failed")
    return Recollection(note=f"nothing could be recalled: {why}")


@dataclass
class Asking:
    """The memory as an operative's tool has it in one turn."""

    stage: StageContext
    state: StageState
    asked: int = field(default=0)

    async def recall(self, query: str) -> Recollection:
        """What is remembered about `query`; where nothing can be, why. Never fails for memory's sake."""
        self.asked += 1
        suffix = f"recall/{self.state['calls']}.{self.asked}"
        try:
            return await self._recall(query, suffix)
        except FAILURES as failure:
            return await _without(self.stage, self.state, failure, "tool", suffix)

    async def _recall(self, query: str, suffix: str) -> Recollection:
        stage, state = self.stage, self.state
        models = await stage.services.models_for(state["run_id"], stage.team.id)
        if models.replays:
            return _of_tape(stage, state, models, suffix)
        opened = await _open(stage, state)
        if opened is None:
            return Recollection(note="the project's memory is switched off")
        found = await _found(stage, state, opened, query, (_IN_ANSWER, _IN_ANSWER))
        return await _told(stage, state, found, suffix) if found is not None else NOTHING


def _of_tape(stage: StageContext, state: StageState, models: Models, suffix: str) -> Recollection:
    """What was told when the run was recorded: what banks hold now has no part in a replay."""
    kept = models.recalled_then(f"{stage.key(state)}/{suffix}", state["run_id"])
    return NOTHING if kept is None else Recollection.read(kept)


@dataclass(frozen=True, slots=True)
class _Opened:
    memories: Memories
    project: str
    room: int
    """Bytes that memories may take."""
    open_runs: dict[str, bool] = field(default_factory=dict[str, bool])
    """Runs whose memories were found, and whether they are not completed: the same for all of one brief."""


async def _open(stage: StageContext, state: StageState) -> _Opened | None:
    """The project's memory; None where it is switched off."""
    found = await opening.opened(stage, state)
    if found is None:
        return None
    tokens = min(found.settings.brief_tokens, _window(found.models, stage.team.author.alias) // _SHARE)
    return _Opened(found.memories, found.project, tokens * _BYTES_PER_TOKEN)


def _window(models: Models, alias: str) -> int:
    """Tokens of the window of the model that works; none where there is none to ask."""
    try:
        return models.context_tokens(alias)
    except (UnknownAlias, UnknownModel):
        return 0


@dataclass(frozen=True, slots=True)
class _Found:
    query: str
    told: Recollection
    considered: int
    as_of: str
    banks: tuple[str, ...]


async def _found(
    stage: StageContext,
    state: StageState,
    opened: _Opened,
    query: str,
    limits: tuple[int, int],
    *,
    with_page: bool = False,
) -> _Found | None:
    """What the team's own bank and that of all teams know; None where neither is there."""
    as_of = clock.now()
    asked = query.strip()[:_LONGEST_QUERY]
    models = MentalModels(opened.memories)
    there, page = await models.look(opened.project, stage.team.id, (stage.team.id, SHARED))
    if not there:
        return None
    most = dict(zip((stage.team.id, SHARED), limits, strict=True))
    banks = [(bank, most[bank.name]) for bank, _ in there]
    ids = sources_of(page.lines) if with_page else set[int]()
    looks = await asyncio.gather(
        *(
            bank.told(asked, now, limit=_SPARE * most[bank.name], kinds=_LEARNT, ids=ids)
            for bank, now in there
        )
    )
    every = [hit for look in looks for hit in look.recall.hits]
    stand = stage.services.memory.standing
    standing = {hit.memory.id for hit in await stand(state["run_id"], every, opened.open_runs)}
    hits: list[tuple[Recalled, str]] = []
    rules: list[Told] = []
    for (bank, limit), look in zip(banks, looks, strict=True):
        stands = [hit for hit in look.recall.hits if hit.memory.id in standing]
        hits += [(hit, bank.name) for hit in stands[:limit]]
        rules += [Told.of(Recalled(rule, 1.0), bank.name) for rule in look.rules]
    why = next((look.recall.degraded for look in looks if look.recall.degraded), "")
    told = Recollection(tuple(rules), _fitting(hits, opened.room), why)
    if with_page and page:
        known = {one: memory for look in looks for one, memory in look.named.items()}
        told = replace(told, page=await _page(stage, state, opened, page, known, told))
    considered = sum(look.recall.considered for look in looks)
    return _Found(asked, told, considered, as_of.isoformat(), tuple(bank.name for bank, _ in banks))


async def _page(
    stage: StageContext,
    state: StageState,
    opened: _Opened,
    page: Page,
    found: Mapping[int, Memory],
    told: Recollection,
) -> tuple[str, ...]:
    """The lines of the team's page that stand for this run and are not recalled anyway."""

    async def standing(found: Sequence[Memory]) -> list[int]:
        hits = [Recalled(memory, 0.0) for memory in found]
        stand = stage.services.memory.standing
        return [hit.memory.id for hit in await stand(state["run_id"], hits, opened.open_runs)]

    page = await MentalModels(opened.memories).holding(page, found, standing)
    known = {line.id for line in told.lines}
    return tuple(line.written for line in page.lines if not line.sources or not known >= set(line.sources))


def _fitting(hits: Sequence[tuple[Recalled, str]], room: int) -> tuple[Told, ...]:
    """The best, each text once, as many as there is room for."""
    lines: list[Told] = []
    said: set[str] = set()
    for hit, bank in sorted(hits, key=lambda each: -each[0].score):
        line = Told.of(hit, bank)
        size = len(line.sentence.encode())
        if line.text in said or size > room:
            continue
        said.add(line.text)
        room -= size
        lines.append(line)
    return tuple(lines)


async def _told(stage: StageContext, state: StageState, found: _Found, suffix: str) -> Recollection:
    """Write the recall set down, and tell what the log has of it."""
    told = await _logged(stage, state, found, suffix)
    models = await stage.services.models_for(state["run_id"], stage.team.id)
    await models.keep_recalled(f"{stage.key(state)}/{suffix}", state["run_id"], told.kept())
    return told


async def _logged(stage: StageContext, state: StageState, found: _Found, suffix: str) -> Recollection:
    """Write the recall set down; of a node that runs again, what was written the first time."""
    told = found.told
    listed = (*told.rules, *told.lines)
    payload: JsonObject = {
        "banks": list(found.banks),
        "as_of": found.as_of,
        "considered": found.considered,
        "ids": [line.id for line in listed],
    }
    if told.note:
        payload["degraded"] = told.note
    texts: dict[str, JsonValue] = {"query": found.query, "recall": [line.kept() for line in listed]}
    if told.page:
        texts["page"] = list(told.page)
    entry = stage.entry(state, RECALLED, payload, suffix)
    event = await stage.services.events.append(
        state["run_id"], RECALLED, payload, team=entry.team, key=entry.key, texts=texts
    )
    kept = await stage.services.events.texts(state["run_id"], [event.seq]) if _is_old(event, payload) else {}
    if not kept:
        return told
    value: Any = kept[event.seq, "recall"].value
    page: Any = kept[event.seq, "page"].value if (event.seq, "page") in kept else None
    first = [Told.read(each) for each in value] if is_array(value) else []
    return Recollection(
        tuple(line for line in first if line.kind == Kind.DIRECTIVE),
        tuple(line for line in first if line.kind != Kind.DIRECTIVE),
        str(event.payload.get("degraded", "")),
        tuple(map(str, page)) if is_array(page) else (),
    )


def _is_old(event: Event, payload: JsonObject) -> bool:
    """Whether the log had this recall set already, when the node ran for the first time."""
    return any(event.payload.get(name) != payload.get(name) for name in ("ids", "as_of"))
