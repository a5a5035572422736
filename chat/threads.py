"""Conversations as they are kept and as they are shown: what was said, and what the runs in them did."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chat import queries
from chat.asking import talk_chain
from chat.folds import Folds
from chat.timeline import step_id
from chat.wire import ROOT, Element, Step, iso, proposal_card, proposal_of
from core.database import Database
from graph.runner import Factory

LONGEST_NAME: Final = 120
"""Characters of a conversation's name in the list."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A conversation as the page takes it."""

    steps: list[Step]
    elements: list[Element]

    def beyond(self, told: Shown) -> Shown:
        """What of it is not in `told` as it is."""
        known = {piece["id"]: piece for piece in (*told.steps, *told.elements)}
        return Shown(
            [step for step in self.steps if known.get(step["id"]) != step],
            [element for element in self.elements if known.get(element["id"]) != element],
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """What a thumb is about."""

    chain: str
    """The chain of the log that tells it: a run's, or a talk's."""
    project: str | None
    team: str | None = None
    """Who said it, in a talk."""
    about: str = ""
    """Which message of the talk it was."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A file as a person sent it."""

    id: str
    path: Path
    name: str
    mime: str


class Threads:
    """The conversations of all people."""

    def __init__(self, factory: Factory, root: Path) -> None:
        self._factory = factory
        self.folds = Folds(factory)
        self._files = root / "files"

    @property
    def _db(self) -> Database:
        return self._factory.db

    async def open(self, thread_id: str, owner: str) -> None:
        """See to it that the thread is recorded."""
        async with self._db.pool.connection() as conn:
            await queries.open_thread(conn, thread_id, owner)

    async def owner(self, thread_id: str) -> str | None:
        """Whose thread it is; None where there is none."""
        async with self._db.pool.connection() as conn:
            row = await queries.thread(conn, thread_id)
        return None if row is None else str(row["owner"])

    async def row(self, thread_id: str) -> dict[str, Any] | None:
        """A thread's record."""
        async with self._db.pool.connection() as conn:
            return await queries.thread(conn, thread_id)

    async def change(
        self, thread_id: str, *, name: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Name a thread, or lay metadata over what it has."""
        async with self._db.pool.connection() as conn:
            short = None if name is None else " ".join(name.split())[:LONGEST_NAME]
            await queries.change_thread(conn, thread_id, name=short, metadata=metadata)

    async def keep(self, thread_id: str, step: Step) -> None:
        """Write what was said; again with the same id, what it has become."""
        async with self._db.pool.connection() as conn:
            await queries.put_message(conn, thread_id, str(step["id"]), step)

    async def messages(self, thread_id: str) -> list[Step]:
        """What was said in a thread, in order."""
        async with self._db.pool.connection() as conn:
            return [dict(row["step"]) for row in await queries.messages(conn, thread_id)]

    async def keep_file(self, thread_id: str, message_id: str, sent: Sent) -> None:
        """Copy a file that was sent to where it stays."""
        target = self._files / sent.id
        await asyncio.to_thread(shutil.copyfile, sent.path, target)
        async with self._db.pool.connection() as conn:
            await queries.put_file(
                conn,
                id=sent.id,
                thread_id=thread_id,
                message_id=message_id,
                name=sent.name[:200],
                mime=sent.mime[:100],
                bytes=target.stat().st_size,
            )

    async def file(self, file_id: str, owner: str) -> tuple[Path, str, str] | None:
        """A file's place, name and kind, for whom it belongs to."""
        async with self._db.pool.connection() as conn:
            row = await queries.file(conn, file_id, owner)
        return None if row is None else (self._files / str(row["id"]), str(row["name"]), str(row["mime"]))

    async def runs(self, thread_id: str) -> list[str]:
        """The runs that the thread shows, the oldest first."""
        async with self._db.pool.connection() as conn:
            rows = await queries.runs(conn, thread_id)
        return list(dict.fromkeys(str(row["run_id"]) for row in rows if row["made"]))

    async def show(self, thread_id: str) -> Shown:
        """All of a conversation, in the order of time; a step stands before those within it."""
        async with self._db.pool.connection() as conn:
            said = await queries.messages(conn, thread_id)
            files = await queries.files(conn, thread_id)
            thought = await queries.feedback(conn, thread_id)
        steps: list[Step] = [dict(row["step"]) for row in said]
        elements: list[Element] = [_file(row) for row in files]
        elements += [proposal_card(step) for step in steps if proposal_of(step)]
        for run_id in await self.runs(thread_id):
            for kind, piece in (await self.folds.get(thread_id, run_id)).show():
                (steps if kind == "step" else elements).append(piece)
        steps.sort(key=lambda step: str(step.get("createdAt") or ""))
        opinions = {str(row["step_id"]): row for row in thought}
        for step in steps:
            if (opinion := opinions.get(str(step["id"]))) is not None:
                step["feedback"] = {
                    "id": opinion["step_id"],
                    "forId": opinion["step_id"],
                    "value": int(opinion["helpful"]),
                    "comment": opinion["comment"],
                }
        return Shown(steps, elements)

    async def judged(self, thread_id: str, wanted: str) -> Judged | None:
        """What a step tells: the end of a run, or what a model said; None where it is something else."""
        for run_id in await self.runs(thread_id):
            if wanted == f"{step_id(run_id, 'finished')}/run":
                return Judged(run_id, await self._factory.services.project_of(run_id))
        for step in await self.messages(thread_id):
            metadata: dict[str, Any] = step.get("metadata") or {}
            if wanted == f"{step['id']}/run" and "project" in metadata:
                chain = talk_chain(thread_id)
                return Judged(chain, metadata["project"], metadata.get("team"), about=str(step["id"]))
        return None


def _file(row: Mapping[str, Any]) -> Element:
    return {
        "id": str(row["id"]),
        "threadId": str(row["thread_id"]),
        "forId": str(row["message_id"]),
        "type": "file",
        "name": str(row["name"]),
        "display": "inline",
        "mime": str(row["mime"]),
        "url": f"{ROOT}/files/{row['id']}",
        "createdAt": iso(row["at"]),
    }
