"""What a model says in one exchange, as it comes in."""

from collections.abc import Callable
from dataclasses import dataclass, field

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall

from models.catalogue import Limits
from models.window import tokens_of

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

    earlier_input_tokens: int = 0
    """Of exchanges before this one that are charged too: broken tries, a canary; so are the next."""
    earlier_output_tokens: int = 0
    earlier_text: str = ""
    """What was heard last in a broken try."""

    def again(self, prompt: int, limits: Limits) -> None:
        """Forget a broken exchange, but not what it cost."""
        self.earlier_input_tokens, self.earlier_output_tokens = self.spent(prompt, limits)
        self.earlier_text = self.text or self.earlier_text
        self.text = self.thinking = ""
        self.tool_calls = []
        self.invalid_tool_calls = []
        self.input_tokens = self.output_tokens = 0
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
            outputs += self.output_tokens or tokens_of(self.text + self.thinking, limits)
        return inputs, outputs

    @property
    def begun(self) -> bool:
        """Whether anything was said."""
        return bool(self.text or self.thinking or self.tool_calls)

    @property
    def message(self) -> AIMessage:
        return AIMessage(
            content=self.text, tool_calls=self.tool_calls, invalid_tool_calls=self.invalid_tool_calls
        )
