"""What goes to the page: steps, elements and task lists in Chainlit's words, as plain dictionaries."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import quote

ROOT: Final = "/chat"
"""Where the chat is mounted."""
FACTORY: Final = "Factory"
"""Who speaks, where no team does."""

Step = dict[str, Any]
Element = dict[str, Any]
Piece = tuple[Literal["step", "element"], dict[str, Any]]


def iso(at: datetime | None) -> str | None:
    """A moment as the page reads it: UTC with a Z."""
    return None if at is None else at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def message(
    message_id: str,
    thread_id: str,
    text: str,
    *,
    at: datetime,
    author: str = FACTORY,
    parent: str | None = None,
    error: bool = False,
    streaming: bool = False,
) -> Step:
    """What the factory, or one of its teams, says."""
    return {
        "id": message_id,
        "threadId": thread_id,
        "parentId": parent,
        "name": author,
        "type": "assistant_message",
        "output": text,
        "createdAt": iso(at),
        "start": iso(at),
        "end": iso(at),
        "isError": error,
        "streaming": streaming,
        "metadata": {"avatarName": author.lower()},
    }


def reply(message_id: str, thread_id: str, text: str, *, at: datetime, **more: Any) -> list[Step]:
    """A message that can be given a thumb: the page wants it inside of a step that it does not show."""
    around: Step = {
        "id": f"{message_id}/run",
        "threadId": thread_id,
        "parentId": None,
        "name": "on_message",
        "type": "run",
        "output": "",
        "createdAt": iso(at),
        "start": iso(at),
        "end": iso(at),
        "metadata": {},
    }
    return [around, message(message_id, thread_id, text, at=at, parent=around["id"], **more)]


def proposal_of(step: Step) -> dict[str, Any] | None:
    """What a message proposes; None where it only says something."""
    metadata: dict[str, Any] = step.get("metadata") or {}
    return metadata.get("proposal")


def proposal_card(step: Step) -> Element:
    """The card of a message that proposes something."""
    props = proposal_of(step) or {}
    return custom(props["id"], step["threadId"], "Proposal", props, below=step["id"])


def custom(element_id: str, thread_id: str, name: str, props: dict[str, Any], *, below: str) -> Element:
    """An element of our own (`public/elements/NAME.jsx`) below a message."""
    return {
        "id": element_id,
        "threadId": thread_id,
        "forId": below,
        "type": "custom",
        "name": name,
        "display": "inline",
        "mime": "application/json",
        "props": props,
    }


def task_list(element_id: str, thread_id: str, tasks: dict[str, Any]) -> Element:
    """The panel beside the conversation. Its address holds its content: new content, new address."""
    body = b64encode(json.dumps(tasks, ensure_ascii=False).encode()).decode()
    return {
        "id": element_id,
        "threadId": thread_id,
        "type": "tasklist",
        "name": "tasks",
        "display": "side",
        "url": f"data:application/json;base64,{body}",
        "props": None,
    }


_MARKS: Final = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|!~"})


def escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return text.translate(_MARKS)


def fenced(text: str) -> str:
    """Text that Markdown shows as it is, line by line."""
    mark = "~" * 12
    return f"{mark}text\n{text.replace(mark, mark[1:])}\n{mark}"


def traces(run_id: str) -> str:
    """Where the page finds the way to a run's traces."""
    return f"{ROOT}/traces/{quote(run_id)}"


def artifact(run_id: str, commit: str, path: str) -> str:
    """Where the page finds a file of a run's; without a path, the list of them."""
    return f"{ROOT}/artifacts/{quote(run_id)}/{quote(commit)}/{quote(path)}"
