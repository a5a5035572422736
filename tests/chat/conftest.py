"""The chat in this process, over real HTTP and real sockets on loopback, with the small pack behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest
import socketio
import uvicorn

from api.app import create_app
from api.protocol.opened import AgentProtocol
from api.protocol.serving import install
from api.service import Service
from chat.desk import Desk
from chat.mounting import mount
from core.listening import listen
from governance.access import Accounts
from governance.access.accounts import Printed
from governance.roles import Role
from graph.queue.driving import Dispatch
from graph.runner import Factory
from models.service import Models
from tests.doubles.fixtures import ollama_server  # noqa: F401  (a fixture)
from tests.graph.conftest import OpenSmall, open_small  # noqa: F401  (a fixture)

PRINTED = "the token that was printed for dora"
PEOPLE: dict[str, Role] = {"otto": "operator", "anna": "auditor", "hugo": "hr"}


@dataclass
class Chat:
    """A chat that is served."""

    url: str
    factory: Factory
    driving: Dispatch
    accounts: Accounts
    offline: Models
    """The scripted model."""
    tokens: dict[str, str] = field(default_factory=dict[str, str])
    """By name. Dora's is the printed one."""

    async def token(self, name: str) -> str:
        """A token of a person's, who is made where they are not there yet."""
        if name == "dora":
            return PRINTED
        if name not in self.tokens:
            user = await self.accounts.users.add(name, PEOPLE[name], password=None, by="dora")
            _, self.tokens[name] = await self.accounts.tokens.issue(user, "chat", by="dora")
        return self.tokens[name]

    @asynccontextmanager
    async def signed_in(self, name: str = "dora") -> AsyncIterator[httpx.AsyncClient]:
        """A browser that has opened the printed link."""
        async with httpx.AsyncClient(base_url=self.url, timeout=60) as http:
            answer = await http.get("/chat/", params={"token": await self.token(name)})
            assert answer.status_code == 303, answer.text
            assert answer.headers["location"] == "/chat/"
            yield http

    @asynccontextmanager
    async def tab(
        self, name: str = "dora", *, thread: str = "", profile: str = "Factory"
    ) -> AsyncIterator[Tab]:
        """A tab of the page that is connected."""
        async with self.signed_in(name) as http:
            tab = Tab(http, thread, profile)
            await tab.connect()
            try:
                yield tab
            finally:
                await tab.disconnect()


@dataclass
class Tab:
    """What the page's script does: it keeps what it is told by id, and sends what a person does."""

    http: httpx.AsyncClient
    thread: str = ""
    profile: str = "Factory"
    session: str = field(default_factory=lambda: str(uuid4()))
    steps: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    elements: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    told: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _socket: Any = None

    async def connect(self) -> None:
        """Open the socket, as the page does when it is loaded."""
        self._socket = socketio.AsyncClient(reconnection=False)
        for kind in (
            "new_message",
            "update_message",
            "element",
            "resume_thread",
            "first_interaction",
            "toast",
            "window_message",
            "set_commands",
            "stream_token",
            "resume_thread_error",
            "set_modes",
        ):
            self._socket.on(kind, self._hearing(kind))
        await self._socket.connect(
            str(self.http.base_url),
            socketio_path="/chat/ws/socket.io",
            transports=["websocket"],
            headers={
                "Cookie": "; ".join(f"{name}={value}" for name, value in self.http.cookies.items()),
                "Origin": str(self.http.base_url).rstrip("/"),
            },
            auth={
                "sessionId": self.session,
                "clientType": "webapp",
                "threadId": self.thread,
                "userEnv": "{}",
                "chatProfile": self.profile,
            },
        )
        await self._socket.emit("connection_successful")

    async def disconnect(self) -> None:
        """The tab is closed, or its connection lost."""
        await self._socket.disconnect()

    def _hearing(self, kind: str) -> Callable[..., Any]:
        async def hear(data: Any = None) -> None:
            self.told.append((kind, data))
            if kind == "new_message":
                self.steps[data["id"]] = {**self.steps.get(data["id"], {}), **data}
            elif kind == "element":
                self.elements[data["id"]] = data
            elif kind == "resume_thread":
                self.steps = {step["id"]: step for step in data["steps"]}
                self.elements = {element["id"]: element for element in data["elements"]}
            elif kind == "window_message":
                self.thread = data["thread"]
            self._news.set()

        return hear

    async def say(self, text: str, *, command: str = "", files: list[str] | None = None, **modes: str) -> str:
        """Send a message; its id."""
        message = {
            "id": str(uuid4()),
            "threadId": "",
            "name": "me",
            "type": "user_message",
            "output": text,
            "createdAt": "2026-01-01T00:00:00Z",
            "metadata": {},
            "modes": modes or None,
            "command": command or None,
        }
        references = [{"id": file} for file in files or []]
        await self._socket.emit("client_message", {"message": message, "fileReferences": references})
        return str(message["id"])

    async def upload(self, name: str, content: bytes, mime: str) -> httpx.Response:
        """Attach a file."""
        where = f"/chat/project/file?session_id={self.session}"
        return await self.http.post(where, files={"file": (name, content, mime)})

    async def decide(self, approval: str, decision: str, text: str = "") -> dict[str, Any]:
        """Press a button of a card."""
        return await self.act("decide", approval_id=approval, decision=decision, text=text)

    async def act(self, name: str, **payload: str) -> dict[str, Any]:
        """Have the server do what a card asks for."""
        action = {"name": name, "payload": payload, "id": "a", "label": "", "tooltip": "", "forId": ""}
        answer = await self.http.post(
            "/chat/project/action", json={"sessionId": self.session, "action": action}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["response"]

    async def until(self, holds: Callable[[Tab], Any], *, within: float = 30) -> Any:
        """Wait until something is shown; what `holds` gave."""
        async with asyncio.timeout(within):
            while not (found := holds(self)):
                self._news.clear()
                await self._news.wait()
        return found

    def proposals(self) -> list[dict[str, Any]]:
        """What the cards of proposals show."""
        return [element["props"] for element in self.elements.values() if element["name"] == "Proposal"]

    def cards(self) -> list[dict[str, Any]]:
        """What the cards show."""
        return [element["props"] for element in self.elements.values() if element["name"] == "Decision"]

    def open_cards(self) -> list[dict[str, Any]]:
        """Those that nobody has decided."""
        return [card for card in self.cards() if card["decided"] is None]

    def finished(self) -> list[str]:
        """The messages that a run is over."""
        return [s["output"] for s in self.steps.values() if str(s.get("output", "")).startswith("### ")]

    def texts(self) -> list[str]:
        """All that was said by the factory."""
        return [str(s["output"]) for s in self.steps.values() if s["type"] == "assistant_message"]


OpenChat = Callable[..., AbstractAsyncContextManager[Chat]]


@asynccontextmanager
async def served(service: Service, protocol: AgentProtocol | None = None) -> AsyncIterator[str]:
    """The application with the chat, on a free port of loopback, in this event loop."""
    app = create_app(service)
    if protocol is not None:
        install(app, protocol)
    desk = Desk(service.factory, service.dispatch, service.access)
    async with aclosing(await mount(app, desk)):
        listening, host, port = listen("127.0.0.1:0")
        config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        with listening:
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            try:
                yield f"http://{host}:{port}"
            finally:
                server.should_exit = True
                await serving


@pytest.fixture
def open_chat(open_small: OpenSmall) -> OpenChat:  # noqa: F811
    """Opens a chat on the small pack, as `open_small` does; with `protocol` beside the Agent Protocol."""

    @asynccontextmanager
    async def opened(
        rules: Mapping[str, Any] | None = None, *, protocol: bool = False, **more: Any
    ) -> AsyncIterator[Chat]:
        async with (
            open_small(rules, **more) as factory,
            Dispatch.open(factory) as dispatch,
            AsyncExitStack() as stack,
        ):
            printed = Printed(PRINTED, "dora")
            accounts = await asyncio.to_thread(Accounts.of, factory.db, factory.settings, printed=printed)
            offline = await Models.open(factory.settings, factory.db, override="offline")
            service = Service(factory, dispatch, accounts)
            spoken = await stack.enter_async_context(AgentProtocol.open(service)) if protocol else None
            async with offline, dispatch.working(2), served(service, spoken) as url:
                yield Chat(url, factory, dispatch, accounts, offline)

    return opened
