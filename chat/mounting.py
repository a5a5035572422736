"""Chainlit's page below `/chat` of our server: its callbacks are ours, its globals are set in one place.

Chainlit is one application for a process, made when its modules are imported. So it is imported here, late,
when its folder is ready; mounted a second time, in a test, it serves the newer desk.
"""

# pyright: reportPrivateUsage=false, reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import importlib
import re
import sys
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from fastapi import FastAPI

from chat import appearance
from chat.assets import Assets
from chat.calling import resuming
from chat.conversation import Conversation
from chat.desk import Desk
from chat.guard import Guard
from chat.pages import Files
from chat.profiles.listing import listed
from chat.rooms import Rooms, Tab
from chat.sessions import Sessions
from chat.threads import Shown, Threads
from chat.wire import ROOT
from core.sayings import Sayings

_ELSEWHERE: Final = re.compile(r"""<link\b[^>]*?href="https?://[^>]*?>""", re.DOTALL)
"""Sheets and connections to other hosts in the page's template."""


@dataclass
class Mounted:
    """The chat while it is served."""

    rooms: Rooms

    async def aclose(self) -> None:
        """Stop following runs."""
        await self.rooms.close()


async def mount(app: FastAPI, desk: Desk) -> Mounted:
    """Serve the chat at `/chat`."""
    root = await asyncio.to_thread(appearance.prepare, desk.factory.settings, desk.factory.announcements)
    server = await asyncio.to_thread(_import, root)
    threads = Threads(desk.factory, root)
    rooms = Rooms(threads, desk.factory.hub, Sayings(desk.factory.db))
    sessions = await asyncio.to_thread(Sessions.of, desk.accounts)
    conversation = Conversation(desk, rooms, sessions, root)
    _wire(desk, threads, conversation, sessions)
    _sockets(server.sio, conversation)
    assets = Assets(Path(server.build_dir) / "assets")
    guard = Guard(server.app, sessions, Files(desk, threads), assets)
    app.mount(ROOT, guard, name="chat")
    return Mounted(rooms)


def _import(root: Path) -> Any:
    """Chainlit's server, pointed at `root`."""
    with warnings.catch_warnings(), _spared():
        warnings.simplefilter("ignore")  # what its dependencies use that is deprecated is not ours to mend
        config = cast(Any, importlib.import_module("chainlit.config"))
        server = cast(Any, importlib.import_module("chainlit.server"))
        importlib.import_module("chainlit.socket")
    config.APP_ROOT = str(root)
    config.FILES_DIRECTORY = root / ".files"
    config.config_translation_dir = str(root / ".chainlit" / "translations")
    config.config.root = str(root)
    config.config_file = str(root / ".chainlit" / "config.toml")
    settings = config.load_settings()
    config.config.features, config.config.ui = settings["features"], settings["ui"]
    server.APP_ROOT = str(appearance.PUBLIC.parent)
    server.public_dir = str(appearance.PUBLIC)
    if not hasattr(server, "_template"):
        server._template = server.get_html_template
        server.get_html_template = partial(_template, server._template)
    return server


@contextmanager
def _spared() -> Generator[None]:
    """Without a tracing SDK, the greatest part of Chainlit's import, that one of its libraries loads.

    Only that library's client calls it, which nobody makes here. Who wants it later gets the real one.
    """
    standing = {name: ModuleType(name) for name in ("traceloop", "traceloop.sdk") if name not in sys.modules}
    if len(standing) < 2:
        yield
        return
    cast(Any, standing["traceloop.sdk"]).Traceloop = None
    sys.modules.update(standing)
    try:
        yield
    finally:
        for name in standing:
            del sys.modules[name]


def _template(made: Callable[[str], str], path: str) -> str:
    return _ELSEWHERE.sub("", made(path))


def _wire(desk: Desk, threads: Threads, conversation: Conversation, sessions: Sessions) -> None:
    """Chainlit's callbacks, and where it keeps things."""
    config = cast(Any, importlib.import_module("chainlit.config")).config
    data = cast(Any, importlib.import_module("chainlit.data"))
    jwt = cast(Any, importlib.import_module("chainlit.auth.jwt"))
    layer = cast(Any, importlib.import_module("chat.layer"))
    data._data_layer, data._data_layer_initialized = layer.Layer(desk, threads), True
    jwt.get_jwt_secret = lambda: sessions.secret

    code = config.code
    code.password_auth_callback = _nobody  # says that there is a form; the guard answers it
    code.set_chat_profiles = partial(_profiles, desk.factory.announcements)
    code.on_chat_resume = _nothing
    code.on_message = conversation.heard
    code.action_callbacks = conversation.actions


async def _nobody(_name: str, _secret: str) -> None:
    """The guard signs people in itself."""


def _profiles(announcements: Sequence[str], *_: object) -> _Ready:
    return _Ready(listed(announcements))


async def _nothing(_thread: Any) -> None:
    """What is resumed is shown when the tab joins."""


@dataclass(frozen=True)
class _Ready:
    """A value to be awaited. Chainlit asks for it where it cannot await, and throws a coroutine away."""

    value: Any

    def __await__(self) -> Generator[None, None, Any]:
        yield from asyncio.sleep(0).__await__()
        return self.value


def _sockets(sio: Any, conversation: Conversation) -> None:
    """Let a tab join when its connection is made, also when it is made again, and leave when it ends."""
    handlers = sio.handlers["/"]
    socket = cast(Any, importlib.import_module("chainlit.socket"))
    session = cast(Any, importlib.import_module("chainlit.session"))

    async def connected(sid: str) -> None:
        resumed: list[Shown] = []
        mark = resuming.set(resumed)
        try:
            await socket.connection_successful(sid)
        finally:
            resuming.reset(mark)
        tab = session.WebsocketSession.get(sid)
        if tab is not None:
            await conversation.joined(cast(Tab, tab), resumed[-1] if resumed else None)

    async def left(sid: str) -> None:
        tab = session.WebsocketSession.get(sid)
        if tab is not None:
            await conversation.left(cast(Tab, tab))
        await socket.disconnect(sid)

    handlers["connection_successful"] = connected
    handlers["disconnect"] = left
