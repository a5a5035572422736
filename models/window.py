"""Does a prompt fit a model's window? An Ollama before 0.12.6 cuts what does not, and says nothing."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage

from core.json import JsonObject
from models.calls import CallKind
from models.catalogue import Limits

CODING: frozenset[CallKind] = frozenset({"work", "report", "review"})
"""Calls that carry code; a small window is refused for these."""

_PER_MESSAGE = 8  # tokens of role markers that a chat template puts around a message
_PLAUSIBLE = 0.3  # of the estimate; a server that counted less than this has cut the prompt


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a call may be sent. `refused` says why not: too small a window, or too long a prompt."""

    answer: int
    """Tokens the answer may have."""
    refused: str | None = None


def estimate(messages: Sequence[BaseMessage], tools: Sequence[JsonObject], limits: Limits) -> int:
    """Tokens of a prompt, rather too high than too low.

    By UTF-8 bytes, so that a Chinese character does not count as a letter.
    """
    size = 0
    for message in messages:
        size += _bytes(str(message.text))
        if isinstance(message, AIMessage):
            size += sum(_bytes(json.dumps(call["args"], default=str)) for call in message.tool_calls)
    size += sum(_bytes(json.dumps(tool)) for tool in tools)
    return math.ceil(size / limits.bytes_per_token) + _PER_MESSAGE * len(messages)


def tokens_of(text: str, limits: Limits) -> int:
    """Tokens of an answer that nobody counted."""
    return math.ceil(_bytes(text) / limits.bytes_per_token)


def fit(prompt: int, window: int, num_predict: int, limits: Limits) -> Fit:
    """Room for the answer to a prompt of `prompt` tokens in a window of `window`."""
    room = window - prompt
    if room < limits.least_answer:
        return Fit(
            0,
            f"the prompt has about {prompt} tokens, the window {window}, and the answer needs at least "
            f"{limits.least_answer}",
        )
    return Fit(min(num_predict, room))


def was_cut(estimated: int, counted: int, window: int, limits: Limits) -> bool:
    """Whether the server's own count betrays that it cut the prompt.

    Either the count reaches the end of the window, or so little of a long prompt was counted that no
    tokenizer explains it. A cut between the two cannot be seen from here.
    """
    if counted <= 0:  # not reported
        return False
    if counted > window - limits.least_answer:
        return True
    return estimated > window // 2 and counted < estimated * _PLAUSIBLE


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
