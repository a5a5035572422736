"""What a person said, and the way to answer it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chat.desk import Desk
from chat.rooms import Room
from chat.threads import Sent
from chat.wire import FACTORY, iso, message, proposal_card, reply
from core import clock
from core.errors import FactoryError
from core.redaction import redact
from governance.access import Principal


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a person's."""

    id: str
    person: Principal
    text: str
    command: str = ""
    """A command that was picked or typed, without its slash."""
    files: tuple[Sent, ...] = ()
    modes: dict[str, str] = field(default_factory=dict[str, str])
    """What was picked beside the text, such as a team."""


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation, to answer in."""

    desk: Desk
    room: Room

    @property
    def thread_id(self) -> str:
        """Its id."""
        return self.room.thread_id

    async def reply(
        self,
        text: str,
        *,
        to: str,
        author: str = FACTORY,
        error: bool = False,
        part: str = "",
        meta: dict[str, Any] | None = None,
    ) -> None:
        """Say something in answer to a message; said again after a crash, it takes its own place."""
        name = f"{to}/reply{f'/{part}' if part else ''}"
        steps = reply(name, self.thread_id, redact(text), at=clock.now(), author=author, error=error)
        steps[-1]["metadata"].update(meta or {})
        await self.room.say(*steps)

    async def propose(self, props: dict[str, Any], *, to: str, number: int) -> None:
        """Put a proposal before the person; its card belongs to the message (threads.py)."""
        told = message(f"{to}/proposal/{number}", self.thread_id, "**A proposal**", at=clock.now())
        told["metadata"]["proposal"] = props
        await self.room.say(told)
        await self.room.tell("element", proposal_card(told))

    async def refuse(self, error: FactoryError, *, to: str) -> None:
        """Say what was wrong, what was left untouched, and what to do."""
        await self.reply(f"⚠ {error}", to=to)

    def streamed(self, *, to: str, author: str, part: str = "") -> Streamed:
        """An answer that comes piece by piece."""
        return Streamed(self, f"{to}/reply{f'/{part}' if part else ''}", author)


@dataclass
class Streamed:
    """An answer while it comes. What is kept is what `end` is given."""

    talk: Talk
    name: str
    author: str
    _begun: bool = False
    at: Any = field(default_factory=clock.now)

    async def piece(self, text: str) -> None:
        """Show a piece more."""
        if not self._begun:
            self._begun = True
            for step in reply(
                self.name, self.talk.thread_id, "", at=self.at, author=self.author, streaming=True
            ):
                await self.talk.room.tell("new_message", step)
        told = {"id": self.name, "token": text, "isSequence": False, "isInput": False}
        await self.talk.room.tell("stream_token", told)

    async def end(self, text: str, *, meta: dict[str, Any] | None = None) -> None:
        """What was said in the end."""
        steps = reply(self.name, self.talk.thread_id, redact(text), at=self.at, author=self.author)
        for step in steps:
            step["end"] = iso(clock.now())
        steps[-1]["metadata"].update(meta or {})
        await self.talk.room.say(*steps)
