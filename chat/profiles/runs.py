"""The profile *Factory*: a requirement becomes a run, and what it has made can be changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from chat import queries
from chat.heard import Said, Talk
from chat.uploads import Uploads
from core import clock
from core.errors import BadInput, FactoryError
from graph.lifecycle import ENDED

_NEW: Final = "A new conversation starts something new"


class NothingSaid(BadInput):
    """There is nothing in that message to work on."""


class RunUnderWay(BadInput):
    """The run of this conversation is not over yet."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a message asks for."""

    text: str
    repository: Path | None
    """An archive that was sent, unpacked."""


@dataclass(frozen=True)
class FactoryProfile:
    """Answers messages of the profile."""

    uploads: Uploads
    since: datetime
    """When this server began; what was asked for before and has no run was cut off."""

    async def hear(self, talk: Talk, said: Said) -> None:
        """Start a run, or change what the last one made."""
        said.person.require("submit")
        await self._refuse_while_under_way(talk)
        async with self.uploads.read(said) as sent:
            text = "\n\n".join(part for part in (said.text.strip(), *sent.texts) if part)
            if not text:
                raise NothingSaid(todo="Say in words what is wanted; a file alone can be a `.md` or `.txt`")
            await self._start(talk, said, Wanted(text, sent.repository))

    async def _refuse_while_under_way(self, talk: Talk) -> None:
        for run_id in await talk.room.threads.runs(talk.thread_id):
            run = await talk.desk.factory.services.run(run_id)
            if run.status not in ENDED:
                raise RunUnderWay(
                    f"The run {run_id} of this conversation is {run.status.replace('_', ' ')}",
                    untouched="Your message changed nothing in it",
                    todo=f"Answer its card, or use /status, /why or /cancel. {_NEW}",
                )

    async def _start(self, talk: Talk, said: Said, wanted: Wanted) -> None:
        last = await self._finished(talk)
        pipeline = said.modes.get("pipeline") or "full"
        factory, by = talk.desk.factory, said.person.name

        async def make(run_id: str) -> str:
            if last is not None and wanted.repository is None:
                return await factory.change(last, wanted.text, widens=False, by=by, run_id=run_id)
            if wanted.repository is None:
                return await factory.submit(
                    wanted.text, pipeline=pipeline, widens=False, by=by, run_id=run_id
                )
            name = await factory.free_project(wanted.text)
            return await factory.change(
                name,
                wanted.text,
                repo=wanted.repository,
                pipeline=pipeline,
                widens=False,
                by=by,
                run_id=run_id,
            )

        await started(talk, said.id, make)

    async def _finished(self, talk: Talk) -> str | None:
        """The conversation's newest run, where it made something that can be changed."""
        for run_id in reversed(await talk.room.threads.runs(talk.thread_id)):
            run = await talk.desk.factory.services.run(run_id)
            return run_id if run.status == "completed" else None
        return None

    async def recover(self, talk: Talk) -> None:
        """Say so where the server ended before a message had its run: nothing is lost silently."""
        async with talk.desk.factory.db.pool.connection() as conn:
            rows = await queries.runs(conn, talk.thread_id)
        for row in rows:
            if not row["made"] and row["at"] < self.since:
                message_id = str(row["message_id"])
                async with talk.desk.factory.db.pool.connection() as conn:
                    await queries.drop_request(conn, message_id)
                await talk.reply(
                    "⚠ The server was stopped before it could act on this message. Nothing was started; "
                    "send it again.",
                    to=message_id,
                )


async def started(talk: Talk, message_id: str, make: Callable[[str], Awaitable[str]]) -> None:
    """Give a message its run, once: `make` is told the run's id, and raises where it is refused."""
    factory = talk.desk.factory
    async with factory.db.pool.connection() as conn:
        run_id = await queries.ask_for_run(conn, talk.thread_id, message_id, clock.new_id("run"))
    try:
        await make(run_id)
    except FactoryError:
        async with factory.db.pool.connection() as conn:
            await queries.drop_request(conn, message_id)
        raise
    await talk.desk.dispatch.go_on(run_id)
    await talk.room.show(run_id)
