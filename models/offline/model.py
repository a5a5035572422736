"""The offline model: a chat model that follows a script, for demos, tests and continuous integration."""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from models.errors import ModelScriptEnded
from models.offline import answers, script, talking
from models.offline.reading import read

NAME = "offline"


class OfflineModel(BaseChatModel):
    """Scripted output for any requirement.

    It has no state: the reply is a function of the messages, so a run that crashed continues with the same
    words. It speaks fenced blocks only and never native tool calls. Token counts are estimates (four
    characters each). Where the script has nothing to say it raises `ModelScriptEnded`.
    """

    @property
    def _llm_type(self) -> str:
        return NAME

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[Any, AIMessage]:
        """Itself: its actions are fenced blocks, whatever tools there are."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        text = answer(messages)
        read_tokens = sum(len(message.text) for message in messages) // 4
        usage = UsageMetadata(
            input_tokens=read_tokens,
            output_tokens=len(text) // 4,
            total_tokens=read_tokens + len(text) // 4,
        )
        message = AIMessage(
            content=text,
            usage_metadata=usage,
            response_metadata={"model_name": NAME, "model_provider": NAME, "done_reason": "stop"},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


def answer(messages: Sequence[BaseMessage]) -> str:
    """The script's reply to a conversation in the teams' wire format."""
    conversation = read(messages)
    call = conversation.call
    if call == "work":
        return script.work(conversation)
    if call in {"govern", "plan", "review", "clarify", "report"}:
        return answers.reply(conversation)
    if call == "talk":
        return talking.talk(conversation)
    raise ModelScriptEnded(f"The offline model does not know the call {call!r}.")
