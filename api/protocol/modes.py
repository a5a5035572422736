"""A graph's stream as clients of a run want it: the event's name and its data, mode by mode."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, cast

from langchain_core.messages import BaseMessage, BaseMessageChunk, message_chunk_to_message
from langchain_core.runnables import RunnableConfig

from api.protocol import views
from core.json import is_object

_BY_GRAPH: Final = ("values", "updates", "custom", "debug", "tasks", "checkpoints", "messages")


def of_graph(modes: Sequence[str]) -> list[str]:
    """The modes of LangGraph's own that these are made of."""
    wanted = {"messages" if mode == "messages-tuple" else mode for mode in modes}
    return [mode for mode in _BY_GRAPH if mode in wanted] or ["values"]


class Translation:
    """From (namespace, mode, chunk) to the stream's events."""

    def __init__(self, modes: Sequence[str]) -> None:
        self._modes = frozenset(modes)
        self._seen: dict[str, BaseMessage] = {}

    def of(self, namespace: Sequence[str], mode: str, chunk: Any) -> list[tuple[str, Any]]:
        """The events that a chunk of the graph's stream becomes."""
        told: list[tuple[str, Any]] = []
        if mode == "messages":
            if "messages-tuple" in self._modes:
                told.append((_named("messages", namespace), chunk))
            if "messages" in self._modes:
                told.extend(self._message(chunk))
        elif mode in self._modes:
            told.append((_named(mode, namespace), _cleaned(mode, chunk)))
        return told

    def _message(self, chunk: tuple[Any, Mapping[str, Any]]) -> list[tuple[str, Any]]:
        message, metadata = chunk
        if not isinstance(message, BaseMessage) or message.id is None:
            return []
        told: list[tuple[str, Any]] = []
        if message.id not in self._seen:
            told.append(("messages/metadata", {message.id: {"metadata": metadata}}))
        before = self._seen.get(message.id)
        if isinstance(before, BaseMessageChunk) and isinstance(message, BaseMessageChunk):
            whole: BaseMessage = before + message
        else:
            whole = message
        self._seen[message.id] = whole
        if isinstance(whole, BaseMessageChunk):
            told.append(("messages/partial", [message_chunk_to_message(whole)]))
        else:
            told.append(("messages/complete", [whole]))
        return told


def _named(mode: str, namespace: Sequence[str]) -> str:
    return "|".join((mode, *namespace))


def _cleaned(mode: str, chunk: Any) -> Any:
    """Without what LangGraph keeps in a config for itself."""
    if mode == "debug" and is_object(chunk):
        event: dict[str, Any] = chunk
        if event.get("type") == "checkpoint":
            return {**event, "payload": _checkpoint(event["payload"])}
        return event
    return _checkpoint(chunk) if mode == "checkpoints" else chunk


def _checkpoint(payload: dict[str, Any]) -> dict[str, Any]:
    told = dict(payload)
    for name in ("config", "parent_config"):
        if told.get(name):
            told[name] = {"configurable": views.checkpoint(cast(RunnableConfig, told[name]))}
    if told.get("config"):
        told["checkpoint"] = told["config"]["configurable"]
        told["parent_checkpoint"] = cast(dict[str, Any], told.get("parent_config") or {}).get("configurable")
    tasks = cast("list[dict[str, Any]]", told.get("tasks") or [])
    told["tasks"] = [{name: value for name, value in task.items() if name != "state"} for task in tasks]
    return told


async def chunks(
    stream: AsyncIterator[Any], *, subgraphs: bool
) -> AsyncIterator[tuple[Sequence[str], str, Any]]:
    """The chunks of `astream` with several modes, each with its namespace."""
    async for chunk in stream:
        if subgraphs:
            namespace, mode, data = chunk
            yield namespace, mode, data
        else:
            mode, data = chunk
            yield (), mode, data
