"""Who looks at a conversation now, and what is told to them: any number of tabs, one follower for each run.

A tab that comes, or comes back after its connection was lost, is told everything once, and then what is new.
All that is sent replaces what has its id, so nobody sees a thing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from chat.threads import Shown, Threads
from chat.timeline import Timeline
from chat.wire import Piece, Step
from core import logs
from core.errors import FactoryError
from core.hub import Hub
from core.sayings import Sayings
from core.tasks import end

PACE: Final = 0.1
"""Seconds between two tellings of what a run does; all that happens in between is told at once."""
LOOK_AGAIN: Final = 2.0
"""Seconds until a run is followed again after the database was away."""

logger = logs.get(__name__)


class Tab(Protocol):
    """A session of the page's."""

    id: str
    thread_id: str
    emit: Callable[[str, Any], Awaitable[Any]]


@dataclass
class _Follower:
    """Brings one run into one conversation."""

    timeline: Timeline
    whole: bool
    """Nothing of it was shown yet."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])


@dataclass
class Room:
    """One conversation while somebody looks at it."""

    thread_id: str
    threads: Threads
    hub: Hub
    sayings: Sayings
    tabs: dict[str, Tab] = field(default_factory=dict[str, Tab])
    _followers: dict[str, _Follower] = field(default_factory=dict[str, _Follower])
    _telling: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while something is shown that was put together before, so that nothing newer comes in between."""

    async def tell(self, event: str, data: Any) -> None:
        """Send something to every tab."""
        for tab in list(self.tabs.values()):
            await _send(tab, event, data)

    async def say(self, *steps: Step) -> None:
        """Write down what the factory says, and send it: what is shown is never lost."""
        for step in steps:
            await self.threads.keep(self.thread_id, step)
        for step in steps:
            await self.tell("new_message", step)

    async def show(self, run_id: str) -> None:
        """Follow a run, if it is not followed here already, and show what it has done so far."""
        async with self._telling:
            await self._follow(run_id, whole=True)

    async def _follow(self, run_id: str, *, whole: bool) -> None:
        if run_id in self._followers:
            return
        known = await self.threads.folds.get(self.thread_id, run_id)
        follower = self._followers[run_id] = _Follower(deepcopy(known), whole)
        if whole:
            follower.news.set()
        follower.tasks = [
            asyncio.create_task(self._listen(follower), name=f"listen {run_id}"),
            asyncio.create_task(self._overhear(follower), name=f"overhear {run_id}"),
            asyncio.create_task(self._report(follower), name=f"report {run_id}"),
        ]

    def timelines(self) -> list[Timeline]:
        """The runs that are followed, the oldest first."""
        return [follower.timeline for follower in self._followers.values()]

    async def join(self, tab: Tab, told: Shown | None = None) -> None:
        """Let a tab in, and send it the conversation as it is now; of it what `told`, which it has, is not.

        What happens after a run is followed, its follower tells; what happened before, is in what is sent.
        """
        self.tabs[tab.id] = tab
        async with self._telling:
            for run_id in await self.threads.runs(self.thread_id):
                await self._follow(run_id, whole=False)
            shown = await self.threads.show(self.thread_id)
            news = shown if told is None else shown.beyond(told)
            for step in news.steps:
                await _send(tab, "new_message", step)
            for element in news.elements:
                await _send(tab, "element", element)

    async def close(self) -> None:
        """Stop following; nobody looks any more."""
        tasks = [task for follower in self._followers.values() for task in follower.tasks]
        self._followers.clear()
        await end(*tasks)

    async def _listen(self, follower: _Follower) -> None:
        timeline = follower.timeline
        while True:
            try:
                async for event in self.hub.follow(timeline.run_id, after=timeline.seq):
                    timeline.apply(event)
                    follower.news.set()
            except FactoryError as error:
                logger.warning("a run is not followed for a moment", run_id=timeline.run_id, error=str(error))
            await asyncio.sleep(LOOK_AGAIN)

    async def _overhear(self, follower: _Follower) -> None:
        timeline = follower.timeline
        if timeline.ended:
            return
        async with aclosing(self.sayings.follow(timeline.run_id)) as told:
            async for saying in told:
                timeline.hear(saying)
                follower.news.set()

    async def _report(self, follower: _Follower) -> None:
        timeline = follower.timeline
        while True:
            await follower.news.wait()
            follower.news.clear()
            try:
                await self.threads.folds.look_up(timeline)
            except FactoryError as error:
                logger.warning("questions not read", run_id=timeline.run_id, error=str(error))
            async with self._telling:
                touched, whole = timeline.touched(), follower.whole
                follower.whole = False
                for piece in timeline.show(None if whole else touched):
                    await self._send_piece(piece)
            await asyncio.sleep(PACE)

    async def _send_piece(self, piece: Piece) -> None:
        kind, data = piece
        await self.tell("new_message" if kind == "step" else "element", data)


async def _send(tab: Tab, event: str, data: Any) -> None:
    try:
        await tab.emit(event, data)
    except Exception:  # a tab that is gone is no reason to tell the others less
        logger.exception("a tab could not be told")


class Rooms:
    """The conversations that somebody looks at."""

    def __init__(self, threads: Threads, hub: Hub, sayings: Sayings) -> None:
        self.threads = threads
        self._hub = hub
        self._sayings = sayings
        self._rooms: dict[str, Room] = {}

    def room(self, thread_id: str) -> Room:
        """The conversation's room; an empty one where nobody is in it."""
        if thread_id not in self._rooms:
            self._rooms[thread_id] = Room(thread_id, self.threads, self._hub, self._sayings)
        return self._rooms[thread_id]

    async def leave(self, tab: Tab) -> None:
        """A tab's connection ended. It may come back."""
        room = self._rooms.get(tab.thread_id)
        if room is None:
            return
        room.tabs.pop(tab.id, None)
        if not room.tabs:
            del self._rooms[tab.thread_id]
            await room.close()

    async def close(self) -> None:
        """Stop following anything."""
        rooms = list(self._rooms.values())
        self._rooms.clear()
        for room in rooms:
            await room.close()
