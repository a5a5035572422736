"""A model reads a stage's work too, through mem0, where there is one beside the script.

What it says is a fact only where the work itself says so; what it made up is counted and thrown away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from langchain_core.messages import BaseMessage

from core import faults
from core.errors import FactoryError
from graph.gathered import Gathered
from graph.stage_context import StageContext, called
from graph.state import StageState
from memory.evidence import Text, locate
from memory.extraction.claims import Claim
from memory.extraction.echoes import Echoes
from memory.extraction.model import SCHEMA, ExtractionFailed, extract
from memory.extraction.results import Result
from memory.extraction.subjects import subject_of
from memory.records import Kind
from models.errors import ModelFailure, UnknownAlias, UnknownModel
from models.following import first_reply
from models.service import Models
from teams import prompts

CHEAP: Final = "factory/cheap"
"""The alias that is asked; where nobody stands behind it, the team's own."""

_MOST: Final = 24_000
"""Characters that a model is given to read: about 8,000 tokens."""
_LEAST: Final = 2_000
"""Of a window that leaves room for fewer, no model is asked."""
_BYTES_PER_TOKEN: Final = 3
_OVERHEAD: Final = 4_000
"""Tokens for the rules, the frame that mem0 puts around them, and the answer."""


async def add(
    stage: StageContext,
    state: StageState,
    gathered: Gathered,
    files: Mapping[str, str],
    result: Result,
    evidence: Sequence[Text],
    echoes: Echoes,
) -> None:
    """Add the claims that a model finds to those that rules have found, and say in `gathered` how it went."""
    try:
        said = await _said(stage, state, files, result)
    except (FactoryError, TimeoutError) as failure:
        why = str(failure) or "no answer in time"
        gathered.model = f"failed: {why}"[:500]
        raw = failure.raw if isinstance(failure, ExtractionFailed | ModelFailure) else ""
        # A reply that cannot be used may hold anything: it is kept beside the chain.
        await stage.services.events.append(
            state["run_id"],
            "memory.extraction_failed",
            {"why": why[:500]},
            team=stage.team.id,
            key=f"{stage.key(state)}/remember/failed",
            texts={"raw": raw} if raw else None,
        )
        return
    claims = await asyncio.to_thread(_held, said, evidence, echoes, gathered)
    known = {claim.text for claim in gathered.claims}
    gathered.claims += [claim for claim in claims if claim.text not in known]
    gathered.model = f"{len(said)} read, {len(claims)} borne out"


def _held(said: Sequence[str], evidence: Sequence[Text], echoes: Echoes, gathered: Gathered) -> list[Claim]:
    """What of a model's claims the work bears out."""
    claims: list[Claim] = []
    for text in said:
        if echoes.holds(text, evidence):
            gathered.echoes += 1
        elif (place := locate(text, evidence)) is None:
            gathered.unsupported += 1
        elif place.path is None:
            claims.append(Claim(text, Kind.FACT, subject_of(text)))
        else:
            claims.append(
                Claim(text, Kind.FACT, subject_of(text), place.path, place.line, place.start, place.end)
            )
    return claims


async def _said(
    stage: StageContext, state: StageState, files: Mapping[str, str], result: Result
) -> list[str]:
    models = await stage.services.models_for(state["run_id"], stage.team.id)
    alias = _alias(models, stage.team.author.alias)
    window = models.context_tokens(alias)
    room = min(_MOST, (window - _OVERHEAD) * _BYTES_PER_TOKEN)
    if room < _LEAST:
        raise ExtractionFailed(f"{alias} has a window of {window} tokens, which is too small to read in")
    turn = 0

    async def ask(messages: Sequence[BaseMessage]) -> str:
        nonlocal turn
        turn += 1
        call = stage.call(state, "remember", f"remember/{turn}", operative=stage.team.author.id)
        asked, reply = await first_reply(models, alias, messages, call=call, schema=SCHEMA)
        await stage.events(state, called(asked, reply))
        faults.point("retain.extracted")
        return reply.text

    text = _material(files, result, room)
    if not text:
        return []
    matter = prompts.remember(
        team=stage.team, operative=stage.team.author, objective=stage.objective(state).id
    )
    async with asyncio.timeout(stage.team.limits.answer_seconds):
        return await extract(text, ask, matter=matter, session=f"{state['run_id']}/{stage.key(state)}")


def _alias(models: Models, own: str) -> str:
    try:
        models.candidates(CHEAP)
    except (UnknownAlias, UnknownModel):
        return own
    return CHEAP


def _material(files: Mapping[str, str], result: Result, room: int) -> str:
    """What a model reads: the team's result, then its pages. Code is read by rules."""
    parts = [f"- {text}" for text in (*result.facts, *result.assumptions, *result.blockers)]
    parts += [
        f"{path}:\n{text}" for path, text in sorted(files.items()) if path.endswith((".md", ".txt", ".rst"))
    ]
    return "\n".join(parts).encode()[:room].decode(errors="ignore")
