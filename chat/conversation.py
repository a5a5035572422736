"""Between the page and the profiles: who speaks, in which conversation, and to whom it goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chat import commands, deciding
from chat.calling import calling
from chat.desk import Desk
from chat.guard import cookie_of
from chat.heard import Said, Talk
from chat.profiles.runs import FactoryProfile
from chat.rooms import Rooms, Tab
from chat.sessions import Sessions
from chat.threads import Sent
from chat.uploads import Uploads
from core import clock, logs
from core.errors import FactoryError
from governance.access import Principal

logger = logs.get(__name__)

_DEFAULT: Final = "Factory"


class NobodySignedIn(FactoryError):
    """You are not known here any more."""

    http_status = 401


@dataclass
class Conversation:
    """What Chainlit calls when something happens at the page."""

    action = deciding.ACTION

    def __init__(self, desk: Desk, rooms: Rooms, sessions: Sessions, root: Path) -> None:
        self._desk = desk
        self._sessions = sessions
        self._rooms = rooms
        self._runs = FactoryProfile(Uploads(root / "files"), since=clock.now())

    def profiles(self) -> list[Any]:
        """What one can talk with, for the page's list."""
        from chainlit.types import ChatProfile, Starter  # noqa: PLC0415

        starters = [Starter(label=label, message=message) for label, message in STARTERS]
        return [
            ChatProfile(
                name="Factory",
                markdown_description="Say what you want. Seventeen teams build it, you decide.",
                icon="/chat/public/favicon.svg",
                default=True,
                starters=starters,
            )
        ]

    async def joined(self, tab: Any) -> None:
        """A tab is there, for the first time or again."""
        room = self._rooms.room(tab.thread_id)
        if tab.user is None or await self._rooms.threads.owner(tab.thread_id) is None:
            room.tabs[tab.id] = tab  # a conversation that has not begun
        else:
            await self._runs.recover(Talk(self._desk, room))
            await room.join(tab)
            await tab.emit("window_message", {"type": "factory-thread", "thread": tab.thread_id})
        listed = [
            {"id": name, "description": line, "icon": icon, "button": False, "persistent": False}
            for name, (_, line, icon) in commands.COMMANDS.items()
        ]
        await tab.emit("set_commands", listed)

    async def left(self, tab: Tab) -> None:
        """A tab's connection ended."""
        await self._rooms.leave(tab)

    async def heard(self, message: Any) -> None:
        """A person said something. Answers are written down before they are shown."""
        from chainlit.context import context  # noqa: PLC0415

        tab: Any = context.session
        talk = Talk(self._desk, self._rooms.room(tab.thread_id))
        talk.room.tabs.setdefault(tab.id, tab)
        await talk.room.threads.open(tab.thread_id, tab.user.identifier)
        step = message.to_dict()
        await talk.room.threads.keep(tab.thread_id, step)
        await talk.room.tell("new_message", step)
        await tab.emit("window_message", {"type": "factory-thread", "thread": tab.thread_id})
        try:
            said = _said(message, await self._person(tab))
            if said.command:
                await commands.obey(talk, said)
            else:
                await self._runs.hear(talk, said)
        except FactoryError as error:
            await talk.refuse(error, to=message.id)
        except Exception:
            logger.exception("a message was not dealt with")
            await talk.reply(
                "⚠ Something went wrong in the server; its log says what. Your message is kept.",
                to=message.id,
                error=True,
            )

    async def acted(self, action: Any) -> dict[str, Any]:
        """A card was decided."""
        person = calling.get()
        if person is None:
            return {"ok": False, "what": str(NobodySignedIn(todo="Sign in again"))}
        return await deciding.decide(self._desk, person, action.payload)

    async def _person(self, tab: Any) -> Principal:
        cookie = cookie_of(str(tab.environ.get("HTTP_COOKIE", "")))
        person = await self._sessions.person(cookie)
        if person is None:
            raise NobodySignedIn(untouched="Nothing was done", todo="Sign in again")
        return person


def _said(message: Any, person: Principal) -> Said:
    text = str(message.content or "").strip()
    command = str(message.command or "")
    if not command and text.startswith("/"):
        word, _, text = text[1:].partition(" ")
        command, text = word.strip().lower(), text.strip()
    files = tuple(
        Sent(str(element.id), Path(element.path), str(element.name), str(element.mime or ""))
        for element in message.elements or ()
        if element.path
    )
    return Said(str(message.id), person, text, command, files, dict(message.modes or {}))


STARTERS: Final = (
    (
        "A lending library",
        "A lending library: members borrow books, return them, and see what is overdue.",
    ),
    ("A room planner", "A small service to book meeting rooms, without double bookings, with a page."),
    ("An invoice archive", "Keep invoices with customer, amount and due date, and list those that are late."),
    ("A stock list", "Track items in a warehouse: what came in, what went out, and what runs low."),
)
