"""The conversation of a stage as a model is sent it: within its window, and in words it understands.

The stored history keeps every message as it was. What is sent is derived from it by two pure functions:
`bounded` shortens what is old, `render` puts tool messages into plain text for models without native tools.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from core.json import is_object
from teams import prompts
from teams.actions import as_blocks
from teams.output import shortened, shown

KEPT = 4
"""The newest messages are never shortened: what the operative is reacting to."""
OLD_CHARS = 400
"""What an old observation or an old action keeps."""
FENCED = "fenced"
"""Value of `additional_kwargs["actions"]` of a reply whose calls stand as blocks in its own text."""


def size(messages: Sequence[BaseMessage]) -> int:
    """UTF-8 bytes of all text and arguments."""
    return sum(_size(message) for message in messages)


def _size(message: BaseMessage) -> int:
    length = len(str(message.text).encode("utf-8", "replace"))
    if isinstance(message, AIMessage) and message.additional_kwargs.get("actions") != FENCED:
        arguments = (json.dumps(call["args"], ensure_ascii=False, default=str) for call in message.tool_calls)
        length += sum(len(text.encode("utf-8", "replace")) for text in arguments)
    return length


def bounded(messages: Sequence[BaseMessage], budget: int) -> list[BaseMessage]:
    """The messages in at most `budget` bytes, as far as shortening old ones goes.

    First old observations, then old actions lose their middle, the oldest first. Never touched: the first
    message (the brief with its objective), the last four, and all since the reply before the last. The number
    and order of the messages stay, so that each tool call keeps its result.
    """
    kept = list(messages)
    replies = [index for index, message in enumerate(kept) if isinstance(message, AIMessage)]
    newest = min(len(kept) - KEPT, replies[-2] if len(replies) > 1 else len(kept))
    excess = size(kept) - budget
    for shorten in (_observation, _action):
        for index in range(1, newest):
            if excess <= 0:
                return kept
            shorter = shorten(kept[index])
            excess -= _size(kept[index]) - _size(shorter)
            kept[index] = shorter
    return kept


def _observation(message: BaseMessage) -> BaseMessage:
    if isinstance(message, ToolMessage) and len(str(message.text)) > OLD_CHARS:
        return message.model_copy(update={"content": shortened(str(message.text), OLD_CHARS)})
    return message


def _action(message: BaseMessage) -> BaseMessage:
    if not isinstance(message, AIMessage):
        return message
    calls = [
        {**call, "args": {name: _short(arg) for name, arg in call["args"].items()}}
        for call in message.tool_calls
    ]
    return message.model_copy(update={"content": _short(str(message.text)), "tool_calls": calls})


def _short(value: Any) -> Any:
    return shortened(value, OLD_CHARS) if isinstance(value, str) else value


def render(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The history for a model that has no tools: actions as blocks, what they did as observation pages.

    Consecutive tool messages become one page. Messages of other kinds stay as they are.
    """
    rendered: list[BaseMessage] = []
    results: list[tuple[str, str, str]] = []

    def flush() -> None:
        if results:
            rendered.append(HumanMessage(prompts.observation(results)))
            results.clear()

    for message in messages:
        if isinstance(message, ToolMessage):
            results.append((message.name or "tool", remark(message), shown(str(message.text))))
            continue
        flush()
        rendered.append(_plain(message) if isinstance(message, AIMessage) else message)
    flush()
    return rendered


def _plain(reply: AIMessage) -> AIMessage:
    text = str(reply.text)
    if reply.tool_calls and reply.additional_kwargs.get("actions") != FENCED:
        text = "\n\n".join(part for part in (text.strip(), as_blocks(reply.tool_calls)) if part)
    return AIMessage(text, id=reply.id)


def remark(message: ToolMessage) -> str:
    """How an action ended, in a word: "exit 1", "ok" or "error"."""
    artifact: Any = message.artifact
    known: dict[str, Any] = artifact if is_object(artifact) else {}
    ended_by = known.get("ended_by", "exit")
    if known.get("exit_code") is not None:
        return f"exit {known['exit_code']}" + (f", {ended_by}" if ended_by != "exit" else "")
    return "ok" if known.get("ok", message.status != "error") else "error"
