"""What a model says in one exchange, as it comes in."""

from collections.abc import Callable
from dataclasses import dataclass, field

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall

Heard = Callable[[AIMessageChunk], None]
"""Told of each piece of an answer while it comes. After the first one nothing is tried again."""


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

    def clear(self) -> None:
        """Forget a broken exchange."""
        self.text = self.thinking = ""
        self.tool_calls = []
        self.invalid_tool_calls = []
        self.input_tokens = self.output_tokens = 0
        self.done_reason = None

    @property
    def begun(self) -> bool:
        """Whether anything was said."""
        return bool(self.text or self.thinking or self.tool_calls)

    @property
    def message(self) -> AIMessage:
        return AIMessage(
            content=self.text, tool_calls=self.tool_calls, invalid_tool_calls=self.invalid_tool_calls
        )
