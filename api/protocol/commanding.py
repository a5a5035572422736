"""The commands of a thread's own protocol: what `langgraph_sdk`'s `threads.stream` sends."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.access import Admission, Caller
from api.protocol import states, streaming
from api.protocol.errors import NothingWaits
from api.protocol.opened import AgentProtocol
from api.protocol.queries import events, runs, threads
from api.protocol.wanted import CommandWanted, RunWanted
from core import logs
from core.errors import BadInput, FactoryError, NotFound
from core.json import is_array, is_object
from core.redaction import redact
from core.tasks import end
from governance import roles

CHANNELS: Final = (
    "values",
    "updates",
    "messages",
    "tools",
    "lifecycle",
    "input",
    "checkpoints",
    "tasks",
    "custom",
)
Answer = dict[str, Any]

logger = logs.get(__name__)


class FilterInvalid(BadInput):
    """The subscription cannot be read."""

    http_status = 400


def filters(given: dict[str, Any]) -> dict[str, Any]:
    """Which channels and namespaces a client asks for; raises FilterInvalid."""
    channels = given.get("channels")
    if not is_array(channels) or not channels:
        raise FilterInvalid("A subscription names channels", todo=f"Some of: {', '.join(CHANNELS)}")
    for channel in channels:
        if not (isinstance(channel, str) and (channel in CHANNELS or channel.startswith("custom:"))):
            raise FilterInvalid(
                f"There is no channel {channel!r}", todo=f"There are: {', '.join(CHANNELS)}, custom:NAME"
            )
    namespaces, depth = given.get("namespaces"), given.get("depth")
    if namespaces is not None and not (is_array(namespaces) and all(is_array(one) for one in namespaces)):
        raise FilterInvalid("`namespaces` is a list of lists of texts")
    if depth is not None and (not isinstance(depth, int) or depth < 0):
        raise FilterInvalid("`depth` is a number, at least 0")
    found = {"channels": channels, "namespaces": namespaces, "depth": depth}
    return {name: value for name, value in found.items() if value is not None}


async def obey(protocol: AgentProtocol, thread_id: UUID, given: Any, caller: Caller) -> Answer:
    """Obey a command; what goes wrong is told as an answer too, with the command's number."""
    if not is_object(given):
        return _error(None, "invalid_argument", "A command is an object with an integer id and a method")
    command: dict[str, Any] = given
    number, method, params = command.get("id"), command.get("method"), command.get("params")
    if not isinstance(number, int) or isinstance(number, bool) or not isinstance(method, str):
        return _error(None, "invalid_argument", "A command has an integer id and a method")
    call = _METHODS.get(method)
    if call is None:
        return _error(
            number,
            "unknown_command",
            f"There is no command {method[:80]!r}; there are: {', '.join(_METHODS)}",
        )
    try:
        result = await call(protocol, thread_id, params if is_object(params) else {}, caller)
        async with protocol.db.pool.connection() as conn:
            seq = await events.last_of_thread(conn, thread_id)
    except FactoryError as error:
        return _error(number, _code(error), redact(str(error)))
    except ValueError as error:  # of pydantic: what is wrong with which field
        return _error(number, "invalid_argument", redact(str(error)))
    return {"type": "success", "id": number, "result": result, "meta": {"applied_through_seq": min(seq, 0)}}


def _error(number: int | None, code: str, message: str) -> Answer:
    return {"type": "error", "id": number, "error": code, "message": message}


def _code(error: FactoryError) -> str:
    if isinstance(error, NothingWaits):
        return "no_such_interrupt"
    if isinstance(error, roles.NotPermitted):
        return "permission_denied"
    if isinstance(error, NotFound):
        return "no_such_run"
    return "invalid_argument" if isinstance(error, BadInput) else "unknown_error"


async def _start(protocol: AgentProtocol, thread_id: UUID, params: dict[str, Any], caller: Caller) -> Answer:
    """Start a run; on a thread that waits for an answer, the input is the answer."""
    from api.protocol.routes.runs import accept  # noqa: PLC0415  (the routes import this module)

    caller.require("submit")
    wanted = RunWanted(
        assistant_id=str(params.get("assistant_id")),
        input=params.get("input"),
        config=params.get("config"),
        metadata=params.get("metadata"),
        if_not_exists="create",
    )
    async with protocol.db.pool.connection() as conn:
        thread = await threads.get(conn, thread_id)
        active = await runs.active(conn, thread_id)
    if thread is not None and thread["interrupts"] and not active and wanted.input is not None:
        wanted.command, wanted.input = CommandWanted(resume=wanted.input), None
    row = await accept(protocol, wanted, caller, thread_id, events=True)
    return {"run_id": str(row["run_id"])}


async def _respond(
    protocol: AgentProtocol, thread_id: UUID, params: dict[str, Any], caller: Caller
) -> Answer:
    """Answer one interrupt, or several at once."""
    from api.protocol.routes.runs import accept  # noqa: PLC0415  (the routes import this module)

    caller.require("submit")
    given: list[dict[str, Any]] = params.get("responses") or [params]
    resume = {str(one.get("interrupt_id")): one.get("response") for one in given}
    thread = await states.thread_of(protocol, thread_id)
    open_ones = {one["id"] for waiting in thread["interrupts"].values() for one in waiting}
    for name in resume:
        if name not in open_ones:
            raise NothingWaits(f"Nothing waits for an answer to {name[:80]!r}")
    wanted = RunWanted(
        assistant_id=str(thread["metadata"].get("assistant_id") or thread["metadata"].get("graph_id")),
        command=CommandWanted(resume=resume, update=params.get("update"), goto=params.get("goto")),
        config=params.get("config"),
        metadata=params.get("metadata"),
    )
    row = await accept(protocol, wanted, caller, thread_id, events=True)
    return {"run_id": str(row["run_id"])}


async def _tree(protocol: AgentProtocol, thread_id: UUID, params: dict[str, Any], caller: Caller) -> Answer:
    """The graph that works on the thread, and how it is."""
    thread = await states.thread_of(protocol, thread_id)
    status = {"busy": "running", "interrupted": "interrupted", "error": "failed"}.get(
        thread["status"], "completed"
    )
    name = str(thread["metadata"].get("graph_id", ""))
    return {"tree": {"namespace": [], "status": status, "graph_name": name, "children": []}}


async def _state(protocol: AgentProtocol, thread_id: UUID, params: dict[str, Any], caller: Caller) -> Answer:
    """The state, or some keys of it."""
    thread = await states.thread_of(protocol, thread_id)
    namespace = "|".join(params.get("namespace") or [])
    place = {"checkpoint_ns": namespace} if namespace else None
    found = await states.state(protocol, thread, place)
    keys = params.get("keys")
    values = found["values"] if not keys else {key: found["values"].get(key) for key in keys}
    at: dict[str, Any] = found["checkpoint"] or {}
    return {
        "values": values,
        **({"checkpoint": {"id": at["checkpoint_id"]}} if "checkpoint_id" in at else {}),
    }


async def _checkpoints(
    protocol: AgentProtocol, thread_id: UUID, params: dict[str, Any], caller: Caller
) -> Answer:
    """The thread's checkpoints, the newest first."""
    thread = await states.thread_of(protocol, thread_id)
    limit = int(params.get("limit") or 10)
    found = await states.history(
        protocol,
        thread,
        limit=max(1, min(limit, 1000)),
        before=params.get("before"),
        metadata=None,
        checkpoint=None,
    )
    told = [
        {
            "id": one["checkpoint"]["checkpoint_id"],
            "timestamp": one["created_at"],
            "step": one["metadata"].get("step"),
            "metadata": one["metadata"],
        }
        for one in found
    ]
    return {"checkpoints": told}


async def _fork(protocol: AgentProtocol, thread_id: UUID, params: dict[str, Any], caller: Caller) -> Answer:
    """Go on from an earlier checkpoint, with another input where one is given."""
    from api.protocol.routes.runs import accept  # noqa: PLC0415  (the routes import this module)

    caller.require("submit")
    thread = await states.thread_of(protocol, thread_id)
    wanted = RunWanted(
        assistant_id=str(thread["metadata"].get("assistant_id") or thread["metadata"].get("graph_id")),
        input=params.get("input"),
        config=params.get("config"),
        checkpoint_id=str(params.get("checkpoint_id")),
    )
    row = await accept(protocol, wanted, caller, thread_id, events=True)
    return {"run_id": str(row["run_id"]), "thread_id": str(thread_id)}


_METHODS = {
    "run.start": _start,
    "input.respond": _respond,
    "agent.getTree": _tree,
    "state.get": _state,
    "state.listCheckpoints": _checkpoints,
    "state.fork": _fork,
}


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
            await self._send(_error(None, "invalid_argument", "A command is JSON"))
            return
        method = given.get("method") if is_object(given) else None
        if method == "subscription.subscribe":
            await self._subscribe(given)
        elif method == "subscription.unsubscribe":
            await self._unsubscribe(given)
        else:
            await self._send(await obey(self._protocol, self._thread_id, given, self._admission.caller))

    async def _subscribe(self, given: dict[str, Any]) -> None:
        from api.protocol.routes.commands import since  # noqa: PLC0415  (the routes import this module)

        params: dict[str, Any] = given.get("params") or {}
        try:
            wanted = filters(params)
            after = await since(self._protocol, self._thread_id, params.get("since"))
        except FactoryError as error:
            await self._send(_error(given.get("id"), _code(error), redact(str(error))))
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
                _error(given.get("id"), "no_such_subscription", f"There is no subscription {name[:80]!r}")
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
