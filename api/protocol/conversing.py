"""A thread's own protocol over a WebSocket: commands, answers, and the events of subscriptions."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.access import Admission
from api.protocol import streaming
from api.protocol.commanding import Answer, failure, failure_of, obey
from api.protocol.opened import AgentProtocol
from api.protocol.subscribing import filters, since
from core import logs
from core.errors import FactoryError
from core.json import is_object
from core.tasks import end

logger = logs.get(__name__)


class _Conversation:
    """One WebSocket: commands come in; answers and the events of its subscriptions go out."""

    def __init__(
        self, protocol: AgentProtocol, thread_id: UUID, socket: WebSocket, admission: Admission
    ) -> None:
        self._protocol = protocol
        self._thread_id = thread_id
        self._socket = socket
        self._admission = admission
        self._sending = asyncio.Lock()
        self._subscriptions: dict[str, asyncio.Task[None]] = {}

    async def hold(self) -> None:
        watching = asyncio.create_task(self._watch(), name="admission")
        try:
            while True:
                await self._hear(await self._socket.receive_text())
        except (WebSocketDisconnect, KeyError, RuntimeError):
            pass  # gone, or it sent bytes, or it was closed from here
        finally:
            await end(watching, *self._subscriptions.values())

    async def _watch(self) -> None:
        """End it soon after the client's token has ended."""
        while True:
            await asyncio.sleep(streaming.HEARTBEAT)
            if not await self._admission.stands():
                break
        await self._socket.close(1008, "not-signed-in")

    async def _hear(self, text: str) -> None:
        try:
            given: Any = orjson.loads(text)
        except orjson.JSONDecodeError:
            await self._send(failure(None, "invalid_argument", "A command is JSON"))
            return
        method = given.get("method") if is_object(given) else None
        if method == "subscription.subscribe":
            await self._subscribe(given)
        elif method == "subscription.unsubscribe":
            await self._unsubscribe(given)
        else:
            await self._send(await obey(self._protocol, self._thread_id, given, self._admission.caller))

    async def _subscribe(self, given: dict[str, Any]) -> None:
        params: dict[str, Any] = given.get("params") or {}
        try:
            wanted = filters(params)
            after = await since(self._protocol, self._thread_id, params.get("since"))
        except FactoryError as error:
            await self._send(failure_of(given.get("id"), error))
            return
        name = f"subscription-{len(self._subscriptions) + 1}"
        await self._send({"type": "success", "id": given.get("id"), "result": {"subscription_id": name}})
        self._subscriptions[name] = asyncio.create_task(self._tell(after, wanted), name=name)

    async def _unsubscribe(self, given: dict[str, Any]) -> None:
        params: dict[str, Any] = given.get("params") or {}
        name = str(params.get("subscription_id"))
        task = self._subscriptions.pop(name, None)
        if task is None:
            await self._send(
                failure(given.get("id"), "no_such_subscription", f"There is no subscription {name[:80]!r}")
            )
            return
        task.cancel()
        await self._send({"type": "success", "id": given.get("id"), "result": {}})

    async def _tell(self, after: int, wanted: dict[str, Any]) -> None:
        reader = streaming.Reader(self._protocol.db, self._protocol.bell)
        try:
            async for line in reader.of_thread(self._thread_id, after, "event"):
                if line is None:
                    continue  # the server's pings say that the connection lives
                event = streaming.event_of(line)
                if streaming.subscribed(event, wanted):
                    await streaming.pace(event, wanted)
                    await self._send(event)
        except (WebSocketDisconnect, RuntimeError):
            return  # it is gone
        except Exception:
            logger.exception("a thread's events could not be told")
            with suppress(Exception):
                await self._socket.close(1011)

    async def _send(self, message: Answer) -> None:
        async with self._sending:
            await self._socket.send_text(orjson.dumps(message).decode())


async def converse(protocol: AgentProtocol, thread_id: UUID, socket: WebSocket, admission: Admission) -> None:
    """Obey and tell, until the client goes, or its token ends."""
    await _Conversation(protocol, thread_id, socket, admission).hold()
