"""Between the page and the profiles: who speaks, in which conversation, and to whom it goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from chat import commands, deciding, proposing
from chat.calling import calling
from chat.desk import Desk
from chat.guard import cookie_of
from chat.heard import Said, Talk
from chat.profiles.listing import FACTORY, GROUP, QUESTIONS, TEAM, modes
from chat.profiles.runs import FactoryProfile
from chat.profiles.talks import Talks
from chat.rooms import Rooms, Tab
from chat.sessions import Sessions
from chat.threads import Sent, Shown
from chat.uploads import Uploads
from core import clock, logs
from core.errors import FactoryError
from governance.access import Principal

logger = logs.get(__name__)


class NobodySignedIn(FactoryError):
    """You are not known here any more."""

    http_status = 401


class Conversation:
    """What Chainlit calls when something happens at the page."""

    def __init__(self, desk: Desk, rooms: Rooms, sessions: Sessions, root: Path) -> None:
        self._desk = desk
        self._sessions = sessions
        self._rooms = rooms
        self._runs = FactoryProfile(Uploads(root / "files"), since=clock.now())
        self._talks = talks = Talks()
        self._hearers: dict[str, Callable[[Talk, Said], Awaitable[None]]] = {
            FACTORY: self._runs.hear,
            TEAM: talks.team,
            GROUP: talks.group,
            QUESTIONS: talks.question,
        }
        self.actions = {deciding.ACTION: self.decided, proposing.ACTION: self.accepted}

    async def joined(self, tab: Any, told: Shown | None = None) -> None:
        """A tab is there, for the first time or again; `told` is what it was shown when it came."""
        room = self._rooms.room(tab.thread_id)
        if tab.user is None or await self._rooms.threads.owner(tab.thread_id) is None:
            room.tabs[tab.id] = tab  # a conversation that has not begun
        else:
            await self._runs.recover(Talk(self._desk, room))
            await self._talks.recover(Talk(self._desk, room), self._runs.since)
            await room.join(tab, told)
            await tab.emit("window_message", {"type": "factory-thread", "thread": tab.thread_id})
        factory = tab.chat_profile in (None, "", FACTORY)
        offered = [
            {"id": name, "description": line, "icon": icon, "button": False, "persistent": False}
            for name, (_, line, icon) in commands.COMMANDS.items()
            if factory
        ]
        await tab.emit("set_commands", offered)
        await tab.emit("set_modes", await modes(self._desk.factory, tab.chat_profile))

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
        profile = str(tab.chat_profile or FACTORY)
        await talk.room.threads.change(tab.thread_id, metadata={"chat_profile": profile})
        try:
            said = _said(message, await self._person(tab))
            if said.command and profile == FACTORY:
                await commands.obey(talk, said)
            else:
                await self._hearers[profile](talk, said)
        except FactoryError as error:
            await talk.refuse(error, to=message.id)
        except Exception:
            logger.exception("a message was not dealt with")
            await talk.reply(
                "⚠ Something went wrong in the server; its log says what. Your message is kept.",
                to=message.id,
                error=True,
            )

    async def decided(self, action: Any) -> dict[str, Any]:
        """A card was decided."""
        person = calling.get()
        if person is None:
            return _nobody()
        return await deciding.decide(self._desk, person, action.payload)

    async def accepted(self, action: Any) -> dict[str, Any]:
        """A proposal was accepted."""
        from chainlit.context import context  # noqa: PLC0415

        person = calling.get()
        if person is None:
            return _nobody()
        talk = Talk(self._desk, self._rooms.room(context.session.thread_id))
        return await proposing.accept(talk, person, action.payload)

    async def _person(self, tab: Any) -> Principal:
        cookie = cookie_of(str(tab.environ.get("HTTP_COOKIE", "")))
        person = await self._sessions.person(cookie)
        if person is None:
            raise NobodySignedIn(untouched="Nothing was done", todo="Sign in again")
        return person


def _nobody() -> dict[str, Any]:
    return {"ok": False, "what": str(NobodySignedIn(todo="Sign in again"))}


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
