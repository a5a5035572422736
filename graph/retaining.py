"""What a stage that has passed leaves in memory: claims by rules, and by a model where there is one.

Only what was merged comes here. Each claim is held against what was there, what repeats a recollection is
left out, and every effect has a key, so that the node may run twice. Memory never fails a stage: what goes
wrong is an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from core import faults, logs
from core.events import Entry, Event
from core.json import JsonObject, JsonValue, canonical, is_object
from graph import extracting, heard, learning, opening, packing
from graph.gathered import Gathered
from graph.remembering import FAILURES, telling, told_of
from graph.stage_context import StageContext
from graph.state import StageState
from memory.adding import about
from memory.evidence import Text, locate
from memory.extraction import decisions, interfaces, results
from memory.extraction.claims import Claim, bounded
from memory.extraction.echoes import Echoes
from memory.extraction.results import Result
from memory.lineage import promotion, taking_back
from memory.records import SHARED, Added, Draft, Kind, Source
from memory.screening import screen
from memory.service import Memories
from memory.telling import recalled_in

RETAINED: Final = "memory.retained"
"""The kind of event that says what a stage left in memory."""

_log = logs.get(__name__)

_SHOWS: Final = frozenset({"bash", "read_file", "search", "list_files"})
"""Tools whose output is evidence. Mail and memory say what somebody said."""
_FILE: Final = "file:"
_MOST_EVIDENCE: Final = 600_000
"""Characters that claims are held against."""
_AT_ONCE: Final = 4_000
"""Characters that are read within the event loop: a millisecond or two."""
_MOST_CLAIMS: Final = 400
_BY_SUBJECT: Final = ("interface:", "table:", "use:", "adr:")
"""Subjects of what is worded by us and not by its file: it is superseded by them alone."""
_DECLARED: Final = ("interface:", "table:", "use:")
_LAST_LINES: Final = 30
"""Of a command's output, in which it says how it went."""


async def remember(
    stage: StageContext, state: StageState, texts: Mapping[str, JsonValue], event: Event
) -> None:
    """Keep what the stage left behind; `texts` and `event` are those of its snapshot."""
    try:
        open_ = await opening.opened(stage, state)
        if open_ is None:
            return
        project, memories = open_.project, open_.memories
        reads = open_.settings.model and not open_.models.is_offline
        gathered = await _gathered(stage, state, texts, ask_model=reads)
        gathered.claims = [*await _gone(stage, memories, project, texts), *gathered.claims]
        kept = await _keep(stage, state, memories, project, gathered, event, texts)
        try:
            learned = await learning.learn(stage, state, open_, "learned")
        except FAILURES:
            await stage.events(state, *kept)
            raise
        await stage.events(state, *kept, *learned)
    except FAILURES as failure:
        why = told_of(failure)
        _log.warning("memory.not_retained", run=state["run_id"], team=stage.team.id, why=why)
        await stage.event(state, "memory.failed", {"at": "retain", "why": why}, "retained/failed")


async def _gathered(
    stage: StageContext, state: StageState, texts: Mapping[str, JsonValue], *, ask_model: bool
) -> Gathered:
    files = {name.removeprefix(_FILE): str(text) for name, text in texts.items() if name.startswith(_FILE)}
    messages = await packing.whole(stage, state)
    shown = _shown(messages)
    echoes = Echoes(recalled_in(str(message.content) for message in messages))
    evidence = _bounded([*(Text(text, path) for path, text in sorted(files.items())), *shown])
    result = _result(texts.get("result"))

    def read() -> Gathered:
        found = results.read(result, evidence, echoes)
        claims = [*decisions.read(files), *interfaces.read(files), *found.claims]
        return Gathered(claims, found.unsupported, found.echoes)

    # A thread costs more than what is read in most stages; what is long must not hold up the loop.
    long = sum(len(text.text) for text in evidence) > _AT_ONCE
    gathered = await asyncio.to_thread(read) if long else read()
    if ask_model:
        await extracting.add(stage, state, gathered, files, result, evidence, echoes)
    return gathered


def _result(kept: Any) -> Result:
    """The part of a TaskResult that is worth reading."""
    if not is_object(kept):
        return Result()
    given: Any = kept
    lists = [
        tuple(map(str, given.get(name, ()))) for name in ("verified_facts", "assumptions_made", "blockers")
    ]
    return Result(*lists)


def _shown(messages: Sequence[BaseMessage]) -> list[Text]:
    """What tools showed the team: the newest first, since an old one may hold no more."""
    commands = {
        str(call["id"]): str(call["args"].get("command", ""))
        for message in messages
        if isinstance(message, AIMessage)
        for call in message.tool_calls
    }
    texts: list[Text] = []
    for message in reversed(messages):
        if isinstance(message, ToolMessage) and message.name in _SHOWS:
            output, command = str(message.content), " ".join(commands.get(message.tool_call_id, "").split())
            if command:
                # "pytest tests/unit: 78 passed" is borne out by a command and a line of its output together.
                last = output.rstrip().split("\n")[-_LAST_LINES:]
                texts.append(Text("\n".join(f"{command[:200]}: {line}" for line in last)))
            texts.append(Text(output))
    return texts


def _bounded(texts: Sequence[Text]) -> list[Text]:
    left, kept = _MOST_EVIDENCE, list[Text]()
    for text in texts:
        left -= len(text.text)
        if left < 0:
            break
        kept.append(text)
    return kept


async def _gone(
    stage: StageContext, memories: Memories, project: str, texts: Mapping[str, JsonValue]
) -> list[Claim]:
    """What a file said before and says no more: an operation or a table that is not there any longer."""
    claims: list[Claim] = []
    for name, text in sorted(texts.items()):
        path = name.removeprefix(_FILE)
        if path == name or not (prefix := interfaces.declares(path, str(text))):
            continue
        bank = await memories.find(project, stage.team.id)
        if bank is None:
            return []
        there = {about(str(claim.subject)) for claim in interfaces.read({path: str(text)})}
        known = await taking_back.of_file(memories, bank.id, path, prefix)
        for subject in sorted(known - there):
            what = subject.partition(":")[2]
            claims.append(Claim(f"`{what}` is no longer in {path}", Kind.FACT, subject, path, 1))
    return claims


async def _keep(
    stage: StageContext,
    state: StageState,
    memories: Memories,
    project: str,
    gathered: Gathered,
    event: Event,
    texts: Mapping[str, JsonValue],
) -> list[Entry]:
    """Put the claims into the team's bank, and what people said and two teams bear out into that of all.

    What is to be written down about it: nothing where nothing was read.
    """
    key = f"{state['run_id']}/{stage.key(state)}"
    said = canonical(texts["result"]) if texts.get("result") else ""
    gathered.left_out = max(0, len(gathered.claims) - _MOST_CLAIMS)
    drafts = [_draft(stage, state, claim, event, said) for claim in _first(gathered.claims)]
    people, answers = await heard.by_people(stage, state), await heard.by_teams(stage, state)
    if not (drafts or people or answers or gathered.unsupported or gathered.echoes or gathered.model):
        return []
    every = [*drafts, *people, *(draft for _, draft in answers)]
    gathered.masked = sum(bool(screen(draft.text).found) for draft in every)
    added: list[Added] = []
    if drafts:
        added = await (await memories.bank(project, stage.team.id)).add(drafts, key=key)
    said_by_people: list[Added] = []
    if people:
        # Said by a person: that is all the evidence there can be.
        said_by_people = await (await memories.bank(project, SHARED)).add(people, key=key)
    answered: list[Added] = []
    for bank in dict.fromkeys(team for team, _ in answers):
        given = [draft for team, draft in answers if team == bank]
        answered += await (await memories.bank(project, bank)).add(given, key=f"{key}/answers")
    faults.point("retain.remembered")
    pairs = list(zip(added, drafts, strict=True))
    outdated = await _outdated(memories, project, stage.team.id, texts, pairs, event.at)
    faults.point("retain.outdated")
    await _end_derived(stage, state, memories, [*added, *said_by_people, *answered], outdated)
    shared = await promotion.promote_borne_out(
        memories,
        project,
        stage.team.id,
        [promotion.Evidence(one.id, draft) for one, draft in pairs],
        key=f"{key}/shared",  # what people said went to the same bank
    )
    payload = _payload(gathered, added, [*said_by_people, *shared], outdated)
    if answered:
        payload["answers"] = [one.id for one in answered if one.outcome == "new"]
    return [stage.entry(state, RETAINED, payload, "retained")]


async def _outdated(
    memories: Memories,
    project: str,
    team: str,
    texts: Mapping[str, JsonValue],
    added: Sequence[tuple[Added, Draft]],
    at: datetime,
) -> list[int]:
    """Let sentences give way that a file says no more, to what was read in that file `at`; their ids.

    A file in which nothing was read now leaves them as they are: there is nothing in their place, and what
    ends without a successor could not come back if this run is taken back.
    """
    newest = {draft.source.path: one.id for one, draft in added if draft.source.path is not None}
    bank = await memories.find(project, team)
    if bank is None or not newest:
        return []
    said = {path: Text(str(texts[_FILE + path]), path) for path in newest if path and _FILE + path in texts}
    fresh = [one.id for one, _ in added if one.outcome == "new"]
    before = await taking_back.read_in(memories, bank.id, list(said), fresh)
    still = {one.id for one, _ in added}

    def gone() -> dict[int, int]:
        # As a bank keeps what a file says.
        held = {path: Text(screen(said[path].text).text, path) for path in {each.path for each in before}}
        return {
            each.id: newest[each.path]
            for each in before
            if each.id not in still
            and not str(each.subject or "").startswith(_BY_SUBJECT)
            and locate(each.text, [held[each.path]]) is None
        }

    await taking_back.give_way(memories, bank.id, await asyncio.to_thread(gone), at)
    # As the log has it, so that a node which runs again tells what gave way the first time.
    return await taking_back.gave_way(memories, bank.id, list(newest.values()), at)


async def _end_derived(
    stage: StageContext,
    state: StageState,
    memories: Memories,
    added: Sequence[Added],
    outdated: Sequence[int],
) -> None:
    """What was made of memories that are superseded now does not hold either."""
    superseded = [one for each in added for one in each.superseded]
    why, key = taking_back.OUTDATED, f"{stage.key(state)}/retained/taken_back"
    tell = telling(stage.services.events, state["run_id"], why, key, team=stage.team.id)
    await taking_back.end_derived(memories, [*superseded, *outdated], tell=tell)


def _payload(
    gathered: Gathered, added: Sequence[Added], shared: Sequence[Added], outdated: Sequence[int]
) -> JsonObject:
    """Which memories, never what they say: the chain cannot forget."""
    outcomes = [one.outcome for one in added]
    payload: JsonObject = {
        "ids": [one.id for one in added if one.outcome == "new"],
        "superseded": sorted({*outdated, *(number for one in added for number in one.superseded)}),
        "shared": [one.id for one in shared if one.outcome == "new"],
        "known": len(outcomes) - outcomes.count("new"),
        "unsupported": gathered.unsupported,
        "echoes": gathered.echoes,
        "masked": gathered.masked,
    }
    if gathered.left_out:
        payload["left_out"] = gathered.left_out
    if gathered.model:
        payload["model"] = gathered.model
    return payload


def _first(claims: Sequence[Claim]) -> Sequence[Claim]:
    """As many as are kept of one stage; of interfaces, of which there may be hundreds, what is left."""
    if len(claims) <= _MOST_CLAIMS:
        return claims
    return sorted(claims, key=lambda claim: str(claim.subject or "").startswith(_DECLARED))[:_MOST_CLAIMS]


def _draft(stage: StageContext, state: StageState, claim: Claim, event: Event, said: str) -> Draft:
    start, end = claim.start, claim.end
    if claim.path is None:
        # The span in the kept text `result` of the snapshot, which is canonical JSON.
        start = max(0, said.find(canonical(claim.text)[1:-1]))
        end = start + len(canonical(claim.text)) - 2 if start else 0
    name = stage.key(state)
    return Draft(
        text=bounded(claim.text),
        kind=claim.kind,
        source=Source(state["run_id"], event.seq, event.hash, name, claim.path, claim.line, start, end),
        speaker=stage.team.id,
        session=f"{state['run_id']}/{name}",
        at=event.at,
        subject=claim.subject,
    )
