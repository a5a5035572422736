"""Asks a model for a turn of a talk: within the budget, in the ledger and the log, shown as it comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from langchain_core.messages import AIMessageChunk, BaseMessage

from core.json import JsonObject
from graph.runner import Factory
from graph.stage_context import called_payload
from models.calls import Call, Reply
from models.following import first_reply

Show = Callable[[str], Awaitable[None]]

LIBRARIAN_ALIAS: Final = "factory/fast"


def talk_chain(thread_id: str) -> str:
    """The chain of the log that has what models said in a conversation."""
    return f"chat_{thread_id}"


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is, and in which talk."""

    thread_id: str
    message_id: str
    part: str
    """Names the turn within the answer to one message."""
    team: str
    operative: str
    alias: str
    project: str | None
    by: str = ""
    """Who talks."""

    @property
    def chain(self) -> str:
        """The chain of the log that has the talk's model calls."""
        return talk_chain(self.thread_id)


async def ask(
    factory: Factory,
    turn: Turn,
    messages: Sequence[BaseMessage],
    *,
    schema: JsonObject | None = None,
    show: Show | None = None,
) -> Reply:
    """One reply of the team's model, or of the next in its chain; `show` is given its pieces as they come."""
    services, team = factory.services, None if turn.team == "factory" else turn.team
    models = (
        services.models.view(project=None, team=team, by=turn.by)
        if turn.project is None
        else await services.models_of(turn.project, team, by=turn.by)
    )
    call = Call(turn.chain, turn.team, turn.operative, "talk", f"{turn.message_id}/{turn.part}")
    pieces: asyncio.Queue[str] = asyncio.Queue()
    showing = asyncio.create_task(_show(pieces, show)) if show is not None else None
    try:
        heard = partial(_hear, pieces) if show is not None else None
        call, reply = await first_reply(models, turn.alias, messages, call=call, schema=schema, heard=heard)
    finally:
        if showing is not None:
            showing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await showing
    await factory.events.append(
        turn.chain,
        "model.called",
        called_payload(call, reply),
        team=turn.team,
        key=f"{call.key}/called",
        last=True,
    )
    return reply


def _hear(pieces: asyncio.Queue[str], chunk: AIMessageChunk) -> None:
    text: Any = chunk.text
    if text:
        pieces.put_nowait(str(text))


async def _show(pieces: asyncio.Queue[str], show: Show) -> None:
    while True:
        await show(await pieces.get())
