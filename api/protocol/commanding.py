"""The commands of a thread's own protocol: what `langgraph_sdk`'s `threads.stream` sends."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.access import Caller
from api.protocol import states
from api.protocol.errors import NothingWaits
from api.protocol.opened import AgentProtocol
from api.protocol.queries import events, runs, threads
from api.protocol.wanted import CommandWanted, RunWanted
from core.errors import BadInput, FactoryError, NotFound
from core.json import is_object
from core.redaction import redact
from governance import roles

Answer = dict[str, Any]


async def obey(protocol: AgentProtocol, thread_id: UUID, given: Any, caller: Caller) -> Answer:
    """Obey a command; what goes wrong is told as an answer too, with the command's number."""
    if not is_object(given):
        return failure(None, "invalid_argument", "A command is an object with an integer id and a method")
    command: dict[str, Any] = given
    number, method, params = command.get("id"), command.get("method"), command.get("params")
    if not isinstance(number, int) or isinstance(number, bool) or not isinstance(method, str):
        return failure(None, "invalid_argument", "A command has an integer id and a method")
    call = _METHODS.get(method)
    if call is None:
        return failure(
            number,
            "unknown_command",
            f"There is no command {method[:80]!r}; there are: {', '.join(_METHODS)}",
        )
    try:
        result = await call(protocol, thread_id, params if is_object(params) else {}, caller)
        async with protocol.db.pool.connection() as conn:
            seq = await events.last_of_thread(conn, thread_id)
    except FactoryError as error:
        return failure_of(number, error)
    except ValueError as error:  # of pydantic: what is wrong with which field
        return failure(number, "invalid_argument", redact(str(error)))
    return {"type": "success", "id": number, "result": result, "meta": {"applied_through_seq": min(seq, 0)}}


def failure(number: int | None, code: str, message: str) -> Answer:
    """The answer to a command that was not obeyed."""
    return {"type": "error", "id": number, "error": code, "message": message}


def failure_of(number: int | None, error: FactoryError) -> Answer:
    """The same, for a refusal of the factory's."""
    return failure(number, _code(error), redact(str(error)))


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
    row = await protocol.accept(wanted, caller, thread_id, events=True)
    return {"run_id": str(row["run_id"])}


async def _respond(
    protocol: AgentProtocol, thread_id: UUID, params: dict[str, Any], caller: Caller
) -> Answer:
    """Answer one interrupt, or several at once."""
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
    row = await protocol.accept(wanted, caller, thread_id, events=True)
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
    caller.require("submit")
    thread = await states.thread_of(protocol, thread_id)
    wanted = RunWanted(
        assistant_id=str(thread["metadata"].get("assistant_id") or thread["metadata"].get("graph_id")),
        input=params.get("input"),
        config=params.get("config"),
        checkpoint_id=str(params.get("checkpoint_id")),
    )
    row = await protocol.accept(wanted, caller, thread_id, events=True)
    return {"run_id": str(row["run_id"]), "thread_id": str(thread_id)}


_METHODS = {
    "run.start": _start,
    "input.respond": _respond,
    "agent.getTree": _tree,
    "state.get": _state,
    "state.listCheckpoints": _checkpoints,
    "state.fork": _fork,
}
