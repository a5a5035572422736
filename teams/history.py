"""The conversation of a stage in the words that a model understands, and how it is put in short.

When and what of it leaves a model's window is decided in memory/packing.py; what leaves is kept by
graph/packing.py first. `render` puts tool messages into plain text for models without native tools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage

from core.json import is_object
from memory.packing import PAGE, Wording, is_page
from teams import prompts
from teams.actions import as_blocks
from teams.grants import ToolName
from teams.output import clean, shortened, shown

LONGEST_PAGE = 6_000
"""Characters of the page that stands for turns that left: some 1,700 tokens."""
_LONG = 500
_CUT = 400
"""What an observation or an action keeps of more than `_LONG` characters, where it has to be shortened."""
_LINE = 200
_MOST_TRIED = 10
_ASKED: ToolName = "request_clarification"
"""The tool whose result is worth a line even where all went well."""
FENCED = "fenced"
"""Value of `additional_kwargs["actions"]` of a reply whose calls stand as blocks in its own text."""
LASTS = "lasts"
"""In `additional_kwargs`: what the team was told and still works on, as feedback and findings are."""


def lasts(message: BaseMessage) -> bool:
    """Whether the newest message of its like stays in the conversation when its turn leaves."""
    return bool(message.additional_kwargs.get(LASTS))


def lasting(text: str, key: str) -> HumanMessage:
    """A message of the factory that the team works on until the next one of its like."""
    return HumanMessage(text, id=key, additional_kwargs={LASTS: True})


def summary(batch: Sequence[BaseMessage]) -> HumanMessage:
    """The page that stands for turns that left: an earlier page goes on in it, its oldest lines go first."""
    lines: list[str] = []
    results = {message.tool_call_id: message for message in batch if isinstance(message, ToolMessage)}
    for message in batch:
        if is_page(message):
            lines += message.additional_kwargs[PAGE]
        elif isinstance(message, AIMessage):
            lines += _done(message, results)
        elif isinstance(message, HumanMessage):
            said = [row.removeprefix("> ") for row in str(message.text).splitlines() if row.startswith("> ")]
            lines += [f"was told: {_first(' '.join(said))}"] if said else []
    room = LONGEST_PAGE
    while lines and sum(len(line) + 3 for line in lines) > room:
        lines = lines[1 + len(lines) // 10 :]
    key = sha256(" ".join(str(message.id) for message in batch).encode()).hexdigest()[:16]
    return HumanMessage(
        prompts.packed(lines), id=f"packed/{key}", additional_kwargs={PAGE: lines or ["nothing of note"]}
    )


def _done(reply: AIMessage, results: Mapping[str, ToolMessage]) -> list[str]:
    """A turn in a few lines: what was said, what was done, and how it ended."""
    text = str(reply.text).partition("```")[0].strip()
    lines = [f"said: {_first(text)}"] if text else []
    for call in reply.tool_calls:
        result = results.get(call["id"] or "")
        ended = "no result" if result is None else remark(result)
        seen = "" if result is None or (ended == "ok" and call["name"] != _ASKED) else str(result.text)
        why = f": {_first(_last_line(seen) if ended != 'ok' else seen)}" if seen.strip() else ""
        lines.append(f"{call['name']} {summarised(call)}: {ended}{why}")
    return lines


def tried(batch: Sequence[BaseMessage]) -> list[str]:
    """What a batch teaches: of each command that failed, how it ended the last time."""
    results = {message.tool_call_id: message for message in batch if isinstance(message, ToolMessage)}
    ends: dict[str, str] = {}
    for message in batch:
        for call in message.tool_calls if isinstance(message, AIMessage) else ():
            result = results.get(call["id"] or "")
            if result is None or call["name"] != "bash":
                continue
            command, ended = summarised(call), remark(result)
            ends.pop(command, None)
            if ended not in {"ok", "exit 0"} and command:
                ends[command] = f"{command}: {ended}, {_first(_last_line(str(result.text)))}"
    return list(ends.values())[-_MOST_TRIED:]


def summarised(call: ToolCall) -> str:
    """What an action does, in a line: its path or command, never its content."""
    arguments = call["args"]
    for name in ("path", "command", "pattern", "query", "regex", "glob", "question"):
        if isinstance(arguments.get(name), str):
            return _first(arguments[name])
    return ", ".join(sorted(arguments))


def _first(text: str) -> str:
    line = " ".join(clean(text[: 20 * _LINE]).split())
    return line if len(line) <= _LINE else line[: _LINE - 1] + "…"


def _last_line(text: str) -> str:
    """The line of an output that is likeliest to say what went wrong: the last one."""
    return next((line for line in reversed(text.splitlines()) if line.strip("`= -")), "")


def cut(message: BaseMessage) -> BaseMessage:
    """A message with its longest parts shortened; itself where nothing is long."""
    if isinstance(message, AIMessage):
        calls = [
            {**call, "args": {name: _short(arg) for name, arg in call["args"].items()}}
            for call in message.tool_calls
        ]
        update: dict[str, Any] = {"content": _short(str(message.text)), "tool_calls": calls}
        same = update == {"content": message.content, "tool_calls": message.tool_calls}
        return message if same else message.model_copy(update=update)
    text = str(message.text)
    return message if len(text) <= _LONG else message.model_copy(update={"content": shortened(text, _CUT)})


def _short(value: Any) -> Any:
    return shortened(value, _CUT) if isinstance(value, str) and len(value) > _LONG else value


WORDING = Wording(summary, cut, lasts)
"""How a stage's conversation is packed."""


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
