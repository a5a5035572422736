"""What a model says in one exchange, as it comes in."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, cast

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall

from models.catalogue import Limits
from models.window import tokens_of

Heard = Callable[[AIMessageChunk], None]
"""Told of each piece of an answer while it comes. After the first one nothing is tried again."""


overhearing: Final[ContextVar[Callable[[str], None] | None]] = ContextVar("overhearing", default=None)
"""Told what an answer says so far, each time that more of it comes, and from its beginning where it is asked
for again. Unlike `Heard` it changes nothing: who looks on keeps no broken answer from being tried again."""

CHARACTERS_PER_TOKEN: Final = 24
"""More than this for each allowed token is no answer but a server gone astray."""


def characters(chunk: AIMessageChunk) -> int:
    """How much came with a piece of an answer, whatever it is: text, thinking, arguments of tools."""
    content = cast("str | list[str | dict[str, Any]]", chunk.content)
    blocks = [content] if isinstance(content, str) else content
    said = sum(len(block) if isinstance(block, str) else _in_block(block) for block in blocks)
    thought = len(str(chunk.additional_kwargs.get("reasoning_content", "")))
    return said + thought + sum(len(call["args"] or "") for call in chunk.tool_call_chunks)


def _in_block(block: dict[str, Any]) -> int:
    return sum(len(str(block.get(name) or "")) for name in ("text", "thinking", "reasoning"))


@dataclass(slots=True)
class Answer:
    """What the model said in one exchange."""

    text: str = ""
    thinking: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list[ToolCall])
    invalid_tool_calls: list[InvalidToolCall] = field(default_factory=list[InvalidToolCall])
    """Calls whose arguments are no JSON."""
    input_tokens: int = 0
    output_tokens: int = 0
    done_reason: str | None = None
    """None until the server said that it is done; `length` where the answer was cut."""

    came: int = 0
    """Characters that came so far, of whatever kind; of calls too, which are known only when whole."""

    earlier_input_tokens: int = 0
    """Of exchanges before this one that are charged too: broken tries, a canary; so are the next."""
    earlier_output_tokens: int = 0
    earlier_text: str = ""
    """What was heard last in a broken try."""

    def say(self, text: str) -> None:
        """Add what came."""
        self.text += text
        if text and (told := overhearing.get()) is not None:
            told(self.text)

    def again(self, prompt: int, limits: Limits) -> None:
        """Forget a broken exchange, but not what it cost."""
        self.earlier_input_tokens, self.earlier_output_tokens = self.spent(prompt, limits)
        self.earlier_text = self.text or self.earlier_text
        self.text = self.thinking = ""
        self.tool_calls = []
        self.invalid_tool_calls = []
        self.input_tokens = self.output_tokens = self.came = 0
        self.done_reason = None

    def add(self, tokens: tuple[int, int]) -> None:
        """Tokens of another exchange that belongs to the same call: of its prompt, of its answer."""
        self.earlier_input_tokens += tokens[0]
        self.earlier_output_tokens += tokens[1]

    def spent(self, prompt: int, limits: Limits) -> tuple[int, int]:
        """Tokens of prompts and answers so far, `earlier` ones included.

        As the server counted them. Of an answer that broke off nobody tells the count: its whole prompt
        (`prompt`, estimated) and what was heard of it, estimated. Of one that never began, nothing.
        """
        inputs, outputs = self.earlier_input_tokens, self.earlier_output_tokens
        if self.begun or self.done_reason is not None:
            inputs += self.input_tokens or prompt
            heard = tokens_of(self.text + self.thinking, limits)
            outputs += self.output_tokens or max(heard, int(self.came / limits.bytes_per_token))
        return inputs, outputs

    @property
    def begun(self) -> bool:
        """Whether anything was said."""
        return bool(self.text or self.thinking or self.tool_calls or self.came)

    @property
    def message(self) -> AIMessage:
        return AIMessage(
            content=self.text, tool_calls=self.tool_calls, invalid_tool_calls=self.invalid_tool_calls
        )
