"""Actions in a Markdown reply: fenced blocks whose info string says what they are.

    ```write src/app.py        the whole new content of a file
    ```edit src/app.py         one or more SEARCH/REPLACE parts
    ```bash                    a command for the sandbox
    ```call NAME               any other tool, with its arguments as a JSON object

Code never travels inside JSON, which small models break on. A fence has three or more backticks or
tildes and is closed only by at least as many of the same. Every other fence is prose. What looks like an
action and is malformed becomes a `ParseProblem` for the model to read: nothing is guessed or silently lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from langchain_core.messages import ToolCall
from langchain_core.messages.tool import tool_call

from core.json import canonical, is_object
from teams.thinking import after_thinking

VERBS = ("write", "edit", "bash", "call")
MAX_ACTIONS = 50

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>.*)$")
_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_SEARCH = re.compile(r"^<{5,9} ?SEARCH\s*$")
_DIVIDER = re.compile(r"^={5,9}\s*$")
_REPLACE = re.compile(r"^>{5,9} ?REPLACE\s*$")


@dataclass(frozen=True, slots=True)
class ParseProblem:
    """Why a block that looks like an action was not executed."""

    line: int
    """The line of the reply (from 1) where the block begins."""
    what: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}"


class Parsed(NamedTuple):
    """The actions of a reply, in its order, and what was wrong with others."""

    calls: list[ToolCall]
    problems: list[ParseProblem]


@dataclass(frozen=True, slots=True)
class _Block:
    line: int
    info: str
    body: Sequence[str]
    closed: bool
    nested: bool
    """A fence as long as the block's own was opened inside, so its end cannot be told from that one's."""

    @property
    def verb(self) -> str:
        return self.info.split(maxsplit=1)[0] if self.info else ""

    @property
    def subject(self) -> str:
        """What stands after the verb: a path or a tool's name."""
        rest = self.info[len(self.verb) :].strip()
        return rest[1:-1].strip() if len(rest) > 1 and rest[0] == rest[-1] and rest[0] in "\"'`" else rest

    @property
    def text(self) -> str:
        return "".join(line + "\n" for line in self.body)


class _Malformed(Exception):
    """The block is an action that cannot be read."""


def parse_actions(text: str, *, salt: str = "", verbs: Collection[str] = VERBS) -> Parsed:
    """The actions in a reply as LangChain tool calls; blocks of other verbs than `verbs` are ordinary.

    Ids are a hash of content, index and `salt` (the key of the model call, so that the same words said twice
    in a conversation are two calls and a replayed call is one).
    """
    meant = after_thinking(text)
    if meant is None:
        return Parsed([], [ParseProblem(1, "the thinking is never closed, so the reply says nothing")])
    calls: list[ToolCall] = []
    problems: list[ParseProblem] = []
    lines = meant.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None or ("`" in fence["fence"] and "`" in fence["info"]):
            at += 1
            continue
        verb = fence["info"].strip().split(maxsplit=1)[:1]
        if len(fence["indent"]) > 3:
            if verb and verb[0] in verbs:
                problems.append(
                    ParseProblem(at + 1, f"the {verb[0]} block is indented; begin it at column one")
                )
            at += 1
            continue
        block, at = _block(lines, at, fence)
        problem = _take(block, calls, salt, verbs)
        if problem:
            problems.append(ParseProblem(block.line, problem))
            if block.nested:  # where the next block begins can no longer be told
                break
        if len(calls) > MAX_ACTIONS:
            del calls[MAX_ACTIONS:]
            problems.append(
                ParseProblem(block.line, f"at most {MAX_ACTIONS} actions a reply; the rest was left")
            )
            break
    return Parsed(calls, problems)


def _block(lines: Sequence[str], start: int, opening: re.Match[str]) -> tuple[_Block, int]:
    """The block that opens at `start`, and the index of the line after it."""
    mark = opening["fence"]
    nested = False
    for end in range(start + 1, len(lines)):
        inner = _FENCE.match(lines[end])
        if inner is None or len(inner["indent"]) > 3 or not inner["fence"].startswith(mark):
            continue
        info = inner["info"].strip()
        if not info:
            return _Block(start + 1, opening["info"].strip(), lines[start + 1 : end], True, nested), end + 1
        nested = nested or "`" not in info
    return _Block(start + 1, opening["info"].strip(), lines[start + 1 :], False, nested), len(lines)


def _take(block: _Block, calls: list[ToolCall], salt: str, verbs: Collection[str]) -> str | None:
    """Append the block's calls; say what is wrong when it cannot be read."""
    if block.verb not in verbs:
        if (block.nested or not block.closed) and any(_opens_action(line, verbs) for line in block.body):
            return (
                "an ordinary fence holds what looks like an action, or is never closed; nothing from here on "
                "was done. Close each fence, and open one that shows other fences with more backticks"
            )
        return None
    if not block.closed:
        return (
            f"the {block.verb} block is never closed; it was not done. Close it with the fence that opened it"
        )
    if block.nested:
        return (
            f"the {block.verb} block holds a fence as long as its own, so its end is unclear; neither it nor "
            "anything after it was done. Open and close the block with more backticks than any fence in it"
        )
    try:
        for name, args in _calls(block):
            seed = canonical([salt, len(calls), name, args])
            digest = sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()
            calls.append(tool_call(name=name, args=args, id=f"call_{digest[:24]}"))
    except _Malformed as malformed:
        return str(malformed)
    return None


def _opens_action(line: str, verbs: Collection[str]) -> bool:
    fence = _FENCE.match(line)
    return fence is not None and any(verb in verbs for verb in fence["info"].split(maxsplit=1)[:1])


def _calls(block: _Block) -> list[tuple[str, dict[str, Any]]]:
    if block.verb == "bash":
        return [("bash", {"command": _command(block)})]
    if block.verb == "call":
        return [_call(block)]
    if not block.subject:
        raise _Malformed(f"the {block.verb} block names no file; write ```{block.verb} path/of/the/file")
    if block.verb == "write":
        return [("write_file", {"path": block.subject, "content": block.text})]
    return [
        ("edit_file", {"path": block.subject, "search": search, "replace": replace})
        for search, replace in _hunks(block)
    ]


def _command(block: _Block) -> str:
    if block.subject:
        raise _Malformed("a bash block takes nothing after the word bash; the command goes into the block")
    command = block.text.strip("\n")
    if not command.strip():
        raise _Malformed("the bash block is empty")
    return command


def _call(block: _Block) -> tuple[str, dict[str, Any]]:
    name = block.subject
    if not _TOOL_NAME.fullmatch(name):
        raise _Malformed("the call block names no tool; write ```call NAME and a JSON object inside")
    try:
        args: Any = json.loads(block.text) if block.text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise _Malformed(f"the arguments of call {name} are no JSON: {error}") from error
    if not is_object(args):
        raise _Malformed(f"the arguments of call {name} must be one JSON object")
    return name, args


def _hunks(block: _Block) -> list[tuple[str, str]]:
    """The (search, replace) pairs of an edit block, each text with its line ends."""
    hunks: list[tuple[str, str]] = []
    parts: list[list[str]] = []
    for line in block.body:
        if not parts:
            if _SEARCH.match(line):
                parts = [[]]
            elif line.strip():
                raise _Malformed(f"text outside of a SEARCH/REPLACE part: {line.strip()[:80]!r}")
        elif len(parts) == 1 and _DIVIDER.match(line):
            parts.append([])
        elif len(parts) == 2 and _REPLACE.match(line):
            search, replace = ("".join(text + "\n" for text in part) for part in parts)
            if not search.strip():
                raise _Malformed("an empty SEARCH part; use ```write for a new or whole file")
            hunks.append((search, replace))
            parts = []
        else:
            parts[-1].append(line)
    if parts:
        missing = "=======" if len(parts) == 1 else ">>>>>>> REPLACE"
        raise _Malformed(f"a part of the edit block lacks its line {missing}")
    if not hunks:
        raise _Malformed("the edit block has no <<<<<<< SEARCH … ======= … >>>>>>> REPLACE part")
    return hunks


def as_blocks(calls: Sequence[ToolCall]) -> str:
    """Tool calls as the blocks that mean them: the history of a native model, told to one without tools."""
    return "\n\n".join(_as_block(call["name"], call["args"]) for call in calls)


def _as_block(name: str, args: dict[str, Any]) -> str:
    path = args.get("path")
    if name == "write_file" and set(args) == {"path", "content"}:
        return fenced(str(args["content"]), f"write {path}")
    if name == "edit_file" and set(args) == {"path", "search", "replace"}:
        search, replace = (_whole_lines(str(args[part])) for part in ("search", "replace"))
        return fenced(f"<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE", f"edit {path}")
    if name == "bash" and set(args) == {"command"}:
        return fenced(str(args["command"]), "bash")
    return fenced(json.dumps(args, ensure_ascii=False, default=str), f"call {name}")


def _whole_lines(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def fenced(text: str, info: str = "") -> str:
    """A text in a fence that nothing inside can close."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{info}\n{_whole_lines(text)}{fence}"
