"""A run's model calls in one file: written while it runs, or read in place of any model.

A cassette is JSON lines. The first says what it is; `text` lines hold each message once, by its hash; `facts`
what a team's alias could do; `recalled` what a stage was told from memory; `call` lines name the messages
that were sent and hold the reply, or the failure, with usage and seconds. Secrets are masked in all of it.

What differs between two runs of the same thing does not count: the run's id, where the factory lives, commit
ids, times and durations (`settled`). Everything else does.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NoReturn, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import TypeAdapter

from core.errors import BadInput, FactoryError
from core.json import JsonObject, JsonValue, canonical, is_object
from core.redaction import redact
from models import errors
from models.calls import Call, Reply
from models.errors import ModelFailure, ModelUnavailable

FORMAT: Final = 1
REPLAY: Final = "replay:"
"""What a model's name begins with where a cassette answers: `replay:PATH`."""

RUN: Final = "⟦run⟧"
_SHOWN: Final = 60
"""Lines of the difference that an error shows."""
_UNSETTLED: Final = (
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"), "⟦time⟧"),
    (re.compile(r"\b\d+(?:\.\d+)? ?(?:ms|s|seconds?)\b"), "⟦duration⟧"),
    (re.compile(r"\b[0-9a-f]{40}\b"), "⟦commit⟧"),
    (re.compile(r"\b0x[0-9a-f]{6,16}\b"), "⟦address⟧"),
)


class CassetteInvalid(BadInput):
    """A file of recorded model calls cannot be used."""


class ReplayDiverged(FactoryError):
    """The run asks for what was not recorded."""

    http_status = 409


@dataclass(frozen=True, slots=True)
class Facts:
    """What one candidate of an alias can do, as far as it decides what it is sent."""

    tools: bool
    window: int


@dataclass(frozen=True, slots=True)
class _Told:
    """One recorded call, as a line of the file holds it; the fields of a failure or those of a reply."""

    call: str
    candidate: int
    sent: list[str]
    error: str | None = None
    what: str = ""
    untouched: str = ""
    todo: str = ""
    raw: str = ""
    reply: dict[str, Any] = field(default_factory=dict[str, Any])
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0
    thinking: str = ""
    format_honoured: bool | None = None


_TEXT = TypeAdapter(str)
_FACTS = TypeAdapter(tuple[Facts, ...])
_CALL = TypeAdapter(_Told)


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as it is compared: who asks whom, and what is sent."""

    call: Call
    alias: str
    candidate: int
    messages: Sequence[BaseMessage]
    schema: JsonObject | None
    tools: Sequence[BaseTool | JsonObject]

    def texts(self, home: Path) -> list[str]:
        """What is sent, settled: each message, then the schema and the tools."""
        rest: list[Any] = [plain(message) for message in self.messages]
        if self.schema is not None:
            rest.append({"schema": self.schema})
        rest += [{"tool": convert_to_openai_tool(tool)} for tool in self.tools]
        return [settled(canonical(part), self.call.run_id, home) for part in rest]


def settled(text: str, run_id: str, home: Path) -> str:
    """The text without what differs between two runs of the same thing, and without secrets."""
    text = str(redact(text)).replace(run_id, RUN).replace(str(home), "⟦home⟧")
    for pattern, name in _UNSETTLED:
        text = pattern.sub(name, text)
    return text


@dataclass
class Replay:
    """Answers from a cassette, in place of any model."""

    path: Path
    home: Path
    _calls: dict[tuple[str, int], _Told] = field(default_factory=dict[tuple[str, int], _Told])
    _texts: dict[str, str] = field(default_factory=dict[str, str])
    _facts: dict[tuple[str, str], tuple[Facts, ...]] = field(
        default_factory=dict[tuple[str, str], tuple[Facts, ...]]
    )

    _recalled: dict[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def load(cls, path: Path, home: Path) -> Replay:
        """Read a whole cassette. Raises CassetteInvalid, which names the line."""
        replay = cls(path, home)
        lines = replay.lines(path)
        _, head = next(lines, (0, dict[str, Any]()))
        if head.get("cassette") != FORMAT:
            raise CassetteInvalid(
                f"{path} is no cassette of this version of the factory",
                untouched="Nothing was started",
                todo="Give a file that `factory run --record FILE` wrote",
            )
        for number, line in lines:
            try:
                replay._take(line)
            except (KeyError, TypeError, ValueError, AttributeError):
                raise _changed(path, number, "is not as it was recorded") from None
        return replay

    def _take(self, line: Mapping[str, Any]) -> None:
        if "text" in line:
            self._texts[_TEXT.validate_python(line["text"])] = _TEXT.validate_python(line["content"])
        elif "facts" in line:
            key = (_TEXT.validate_python(line["team"]), _TEXT.validate_python(line["facts"]))
            self._facts[key] = _FACTS.validate_python(line["candidates"])
        elif "recalled" in line:
            self._recalled[_TEXT.validate_python(line["recalled"])] = canonical(line["told"])
        elif "call" in line:
            call = _CALL.validate_python(line)
            if call.error is None:
                _message(call.reply, "")
            # Of a call that was made again after a crash, the last counts: it is the one that went on.
            self._calls[call.call, call.candidate] = call

    @staticmethod
    def lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """The entries of a cassette, each with its line's number. A last line that was cut off by a crash is
        left out."""
        try:
            written = path.read_bytes().split(b"\n")
        except OSError as error:
            raise CassetteInvalid(
                f"{path} cannot be read: {error}", untouched="Nothing was started", todo="Give another file"
            ) from None
        for number, text in enumerate(written, 1):
            try:
                entry = json.loads(text) if text else None
            except (ValueError, RecursionError):
                if number == len(written):
                    return
                raise _changed(path, number, "is no JSON") from None
            if is_object(entry):
                yield number, entry

    def facts(self, team: str | None, alias: str) -> tuple[Facts, ...]:
        """What was behind a team's alias. Raises ReplayDiverged."""
        found = self._facts.get((team or "", alias))
        if found is None:
            self._diverged(f"{team or 'the factory'} asks for {alias}, which was not used then")
        return found

    def recalled(self, key: str, run_id: str) -> JsonValue:
        """What a stage was told from memory then; None where it was told nothing."""
        told = self._recalled.get(key)
        return None if told is None else json.loads(told.replace(RUN, run_id))

    def reply(self, asked: Asked) -> Reply:
        """What was replied to this call; raises what was raised then, or ReplayDiverged."""
        key = asked.call.key
        told = self._calls.get((key, asked.candidate))
        if told is None:
            self._diverged(f"the call {key} was not made then")
        self._compare(key, told.sent, asked.texts(self.home))
        if told.error is not None:
            raise _failure(told)
        return Reply(
            message=_message(told.reply, asked.call.run_id),
            alias=asked.alias,
            provider="replay",
            model=told.model,
            input_tokens=told.input_tokens,
            output_tokens=told.output_tokens,
            cost_usd=Decimal(0),  # nobody was paid
            seconds=told.seconds,
            thinking=told.thinking,
            format_honoured=told.format_honoured,
        )

    def _compare(self, key: str, then: Sequence[str], now: Sequence[str]) -> None:
        if [digest_of(text) for text in now] == list(then):
            return
        before = _as_lines(self._texts.get(digest, "") for digest in then)
        difference = list(difflib.unified_diff(before, _as_lines(now), "recorded", "now", lineterm="", n=1))
        shown = "\n".join(line[:300] for line in difference[:_SHOWN])
        more = f"\n… and {len(difference) - _SHOWN} lines more" if len(difference) > _SHOWN else ""
        self._diverged(f"the call {key} sends something else than it sent then:\n{shown}{more}\n")

    def _diverged(self, why: str) -> NoReturn:
        raise ReplayDiverged(
            f"The replay of {self.path.name} differs: {why}",
            untouched="No model was asked, and the run stands where it stopped",
            todo="Replay with the version and settings of the recording, and give the same answers",
        )


def plain(message: BaseMessage) -> dict[str, Any]:
    plain: dict[str, Any] = {"type": message.type, "content": message.content}
    if isinstance(message, AIMessage) and message.invalid_tool_calls:
        plain["invalid_tool_calls"] = [dict(call) for call in message.invalid_tool_calls]
    if isinstance(message, AIMessage) and message.tool_calls:
        plain["tool_calls"] = [
            {"name": c["name"], "args": c["args"], "id": c["id"]} for c in message.tool_calls
        ]
    if isinstance(message, ToolMessage):
        plain |= {"tool_call_id": message.tool_call_id, "name": message.name}
    return plain


def _message(recorded: Mapping[str, Any], run_id: str) -> AIMessage:
    told = json.loads(json.dumps(recorded, ensure_ascii=False).replace(RUN, run_id))
    return AIMessage(
        content=told["content"],
        tool_calls=told.get("tool_calls", []),
        invalid_tool_calls=told.get("invalid_tool_calls", []),
    )


def _failure(told: _Told) -> FactoryError:
    kind: Any = getattr(errors, str(told.error), None)
    if not (isinstance(kind, type) and issubclass(kind, ModelFailure)):
        kind = ModelUnavailable
    return cast("type[ModelFailure]", kind)(
        told.what,
        untouched=told.untouched,
        todo=told.todo,
        raw=told.raw,
        input_tokens=told.input_tokens,
        output_tokens=told.output_tokens,
    )


def _changed(path: Path, number: int, how: str) -> CassetteInvalid:
    return CassetteInvalid(
        f"{path}:{number} {how}",
        untouched="Nothing was started",
        todo="Give the file as it was recorded",
    )


def digest_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _as_lines(texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in text.replace("\\n", "\n").split("\n")]
