"""A run of the factory as a graph's state and stream: values, updates, custom, and messages of a talk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from psycopg.rows import DictRow

from api.protocol.executing import Outcome
from api.protocol.queries import runs
from api.protocol.recorder import Recorder
from api.service import Service
from core.events import Event
from core.json import is_array, is_object
from governance.approvals import Approval, hitl_request
from graph.narration import LOUD, tell
from graph.runner import Factory

_QUIET: Final = frozenset({"run.status", "check.ran", "stage.started", "lease.shared"})
"""Kinds that are progress, and no part of a conversation."""
_BY_PERSON: Final = "approval.decided"


@dataclass(frozen=True)
class Message:
    """One message of the conversation that a run is told as."""

    at: datetime
    view: dict[str, Any]


def requirement_of(given: object) -> tuple[str, dict[str, Any]]:
    """The words of an input, and what else it says: text, `{"requirement": …}` or `{"messages": […]}`."""
    if isinstance(given, str):
        return given, {}
    if isinstance(given, Mapping):
        fields = cast("Mapping[str, Any]", given)
        options = {name: fields[name] for name in ("project", "approve_all", "budget_usd") if name in fields}
        if isinstance(fields.get("requirement"), str):
            return fields["requirement"], options
        messages: Any = fields.get("messages")
        if is_array(messages):
            return (_words(messages[-1]) if messages else ""), options
        return ("" if messages is None else _words(messages)), options
    return "", {}


def _words(message: Any) -> str:
    """The text of a message: of its content, or of the text parts of that."""
    content: Any = message.get("content", "") if is_object(message) else message  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(content, (list, tuple)):
        parts = cast("list[Any]", list(content))  # pyright: ignore[reportUnknownArgumentType]
        if len(parts) == 2 and all(isinstance(part, str) for part in parts):
            return parts[1]  # ("user", "words")
        texts = [part.get("text", "") if is_object(part) else str(part) for part in parts]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return "\n".join(str(text) for text in texts if text)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(content)  # pyright: ignore[reportUnknownArgumentType]


def conversation(run_id: str, log: Iterable[Event]) -> list[Message]:
    """The run as a conversation: the requirement, what the factory tells, what people decided."""
    return [Message(event.at, view) for event in log if (view := message_of(run_id, event)) is not None]


def message_of(run_id: str, event: Event) -> dict[str, Any] | None:
    """The message that an event is, if it is one. Its id is the event's: told twice, it is one message."""
    named: dict[str, Any] = {"id": f"{run_id}-{event.seq}", "additional_kwargs": {}, "response_metadata": {}}
    if event.kind == "run.created":
        return {**named, "type": "human", "content": str(event.payload.get("requirement", "")), "name": None}
    if event.kind == _BY_PERSON:
        said = event.payload.get("answer") or event.payload.get("decision")
        return {**named, "type": "human", "content": str(said), "name": _name(event.payload.get("by"))}
    if event.kind not in LOUD or event.kind in _QUIET:
        return None
    content = str(event.payload["question"]) if event.kind == "approval.requested" else tell(event)
    return {
        **named,
        "type": "ai",
        "content": content,
        "name": event.team,
        "tool_calls": [],
        "invalid_tool_calls": [],
        "usage_metadata": None,
    }


def _name(by: object) -> str | None:
    return str(by) if by else None


async def interrupts(factory: Factory, run_id: str) -> dict[str, list[dict[str, Any]]]:
    """What a run waits for, as a thread's interrupts: question id → LangChain's request for a person."""
    waiting = await factory.approvals.pending(run_id)
    return {one.id: [{"id": one.id, "value": _request(one)}] for one in waiting}


def _request(approval: Approval) -> dict[str, Any]:
    """The request, with `edit` where words answer it: what Agent Inbox calls a response is a rejection to
    LangChain, so that there an answer is the edited argument `answer` (answering.py)."""
    request = hitl_request(approval)
    if "respond" in approval.allowed:
        for config in request["review_configs"]:
            config["allowed_decisions"] = list(dict.fromkeys([*config["allowed_decisions"], "edit"]))
    return request


@dataclass
class Telling:
    """Tells a run of the protocol what the factory's log says."""

    service: Service
    run: DictRow
    recorder: Recorder
    run_id: str

    @property
    def _modes(self) -> frozenset[str]:
        return frozenset(self.run["kwargs"]["stream_mode"])

    async def begin(self) -> None:
        """What every stream begins with."""
        await self.recorder.stream("metadata", {"run_id": self.run["run_id"], "attempt": self.run["attempt"]})
        await self.recorder.tell("lifecycle", {"event": "running", "graph_name": self.run["graph_id"]})

    async def tell(self, event: Event) -> None:
        """One event, in the modes that were asked for; how far it has come is kept with it."""
        view = event_view(event)
        modes = self._modes
        if "custom" in modes:
            await self.recorder.stream("custom", view)
        await self.recorder.tell("custom", {"name": "factory", **view})
        if event.kind in LOUD:
            update = {event.team or "factory": {"event": view}}
            if "updates" in modes:
                await self.recorder.stream("updates", update)
            await self.recorder.tell("updates", update)
        message = message_of(self.run_id, event)
        if message is not None:
            await self._message(event, message, modes)
        async with self.service.factory.db.pool.connection() as conn:
            if event.kind in LOUD:
                await runs.set_source(conn, self.run["run_id"], event.seq)

    async def _message(self, event: Event, message: dict[str, Any], modes: frozenset[str]) -> None:
        metadata = {"langgraph_node": event.team or "factory", "run_id": str(self.run["run_id"])}
        if "messages-tuple" in modes:
            await self.recorder.stream("messages", [message, metadata])
        if "messages" in modes:
            await self.recorder.stream("messages/metadata", {message["id"]: {"metadata": metadata}})
            await self.recorder.stream("messages/complete", [message])
        if message["type"] == "ai":
            for data in _as_events(message, metadata):
                await self.recorder.tell("messages", data)
        if "values" in modes or self.run["kwargs"].get("protocol"):
            log = await self.service.factory.events.read(self.run_id)
            told = [one.view for one in conversation(self.run_id, log) if one.at <= event.at]
            values = {"run_id": self.run_id, "messages": told}
            if "values" in modes:
                await self.recorder.stream("values", values)
            await self.recorder.tell("values", values)

    async def end(self, outcome: Outcome) -> None:
        """The state as the run leaves it, and what it waits for."""
        by_task: dict[str, list[dict[str, Any]]] = outcome.interrupts or {}
        asked = [one for waiting in by_task.values() for one in waiting]
        modes = self._modes
        if "values" in modes:
            await self.recorder.stream(
                "values", {**outcome.values, **({"__interrupt__": asked} if asked else {})}
            )
        await self.recorder.tell("values", outcome.values)
        if asked and "updates" in modes:
            await self.recorder.stream("updates", {"__interrupt__": asked})


def event_view(event: Event) -> dict[str, Any]:
    """An event of the log, as a custom event."""
    return {
        "seq": event.seq,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "team": event.team,
        "told": tell(event),
        "payload": dict(event.payload),
    }


def _as_events(message: dict[str, Any], metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """A message that is whole from the start, as the events of one that is written bit by bit."""
    text = {"type": "text", "text": message["content"]}
    return [
        {"event": "message-start", "role": "ai", "id": message["id"], "metadata": metadata},
        {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}},
        {
            "event": "content-block-delta",
            "index": 0,
            "delta": {"type": "text-delta", "text": message["content"]},
        },
        {"event": "content-block-finish", "index": 0, "content": text},
        {"event": "message-finish"},
    ]
