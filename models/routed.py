"""The factory's models as one chat model of LangChain's: an alias, with all that stands behind it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from core.json import JsonObject, is_object
from core.tasks import CLEANING, end
from models.answer import Heard
from models.calls import Call, Reply
from models.errors import ModelFailure, ModelStopped
from models.following import first_reply
from models.service import Models

_ASK = "Answer with JSON that keeps to this schema, and nothing else:\n{schema}"
_REPAIR = "That was no valid answer:\n{problem}\n" + _ASK


class RoutedChatModel(BaseChatModel):
    """An alias as a chat model: the chain is followed, every call is in the ledger and within the budgets.

    Asynchronous only: it belongs to the event loop that opened `models`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    models: Any
    """The open `Models`, or a view of them."""
    alias: str
    call: Call
    """Who calls, and why; its key is the beginning of each call's own."""
    _calls: int = PrivateAttr(default=0)

    @property
    def _llm_type(self) -> str:
        return "factory"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"alias": self.alias}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("RoutedChatModel is asynchronous: use ainvoke, astream or abatch")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        reply = await self._reply(messages, _options(stop, kwargs), kwargs.get("tools") or ())
        return ChatResult(generations=[ChatGeneration(message=_message(reply))])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        """The pieces as they come; a last one with the usage and who answered."""
        pieces: asyncio.Queue[AIMessageChunk | None] = asyncio.Queue()
        asked = asyncio.create_task(
            self._reply(messages, _options(stop, kwargs), kwargs.get("tools") or (), pieces.put_nowait)
        )
        asked.add_done_callback(lambda _: pieces.put_nowait(None))
        calls_told = False
        try:
            while (piece := await pieces.get()) is not None:
                if run_manager is not None:
                    await run_manager.on_llm_new_token(str(piece.text))
                calls_told = calls_told or bool(piece.tool_call_chunks)
                # Usage and metadata are the last piece's: summed up twice they would be wrong.
                yield ChatGenerationChunk(
                    message=AIMessageChunk(
                        content=piece.content,
                        additional_kwargs=piece.additional_kwargs,
                        tool_call_chunks=piece.tool_call_chunks,
                    )
                )
            reply = await asked
        finally:
            if not asked.done():
                await end(asked, again=CLEANING)
        whole = _message(reply)
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                usage_metadata=whole.usage_metadata,
                response_metadata=whole.response_metadata,
                chunk_position="last",
            )
        )

    async def _reply(
        self,
        messages: Sequence[BaseMessage],
        options: JsonObject | None,
        tools: Sequence[BaseTool | JsonObject],
        heard: Heard | None = None,
    ) -> Reply:
        """Of the first in the chain that gives one; nobody else is asked once something was heard."""
        listener = None if heard is None else _Listener(heard)
        models = cast(Models, self.models)
        _, reply = await first_reply(
            models,
            self.alias,
            messages,
            call=self.call,
            name=lambda _call, _candidate: self.next_call(),
            over=lambda: listener is not None and listener.begun,
            tools=tools,
            heard=listener,
            options=options,
        )
        return reply

    def next_call(self) -> Call:
        """The identity of the next call: the n-th of this object."""
        self._calls += 1
        return replace(self.call, key=f"{self.call.key}/{self._calls}")

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The same model, offered these tools in each call."""
        wish = {"tool_choice": tool_choice} if tool_choice else {}
        bound = self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **wish, **kwargs)
        return cast("Runnable[LanguageModelInput, AIMessage]", bound)

    def with_structured_output(
        self, schema: dict[str, Any] | type[Any], *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """An answer in the shape of `schema`, by the ladder: as it comes, one repair turn that quotes what is
        wrong, one fresh try, then the next of the chain. Raises ModelStopped where nobody managed.
        """
        if kwargs:
            raise ValueError(f"with_structured_output does not know {', '.join(sorted(kwargs))}")
        ladder = _Ladder(self, schema, include_raw=include_raw)
        return cast("Runnable[LanguageModelInput, dict[str, Any] | BaseModel]", RunnableLambda(ladder.climb))


@dataclass(slots=True)
class _Listener:
    """Passes pieces on, and remembers that there was one."""

    heard: Heard
    begun: bool = False

    def __call__(self, chunk: AIMessageChunk) -> None:
        self.begun = True
        self.heard(chunk)


@dataclass(frozen=True)
class _Ladder:
    """From a schema to an answer that keeps to it."""

    model: RoutedChatModel
    schema: dict[str, Any] | type[Any]
    include_raw: bool
    wire: JsonObject = field(init=False)

    def __post_init__(self) -> None:
        schema = self.schema
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            wire = cast(JsonObject, schema.model_json_schema())
        elif isinstance(schema, dict) and "properties" in schema:
            wire = cast(JsonObject, schema)
        else:  # a TypedDict, or a function's description
            wire = cast(JsonObject, convert_to_openai_tool(schema)["function"]["parameters"])
        object.__setattr__(self, "wire", wire)

    async def climb(self, given: LanguageModelInput) -> Any:
        """The answer of the first rung that holds."""
        models = cast(Models, self.model.models)
        asked = [*_messages(given), HumanMessage(_ASK.format(schema=json.dumps(self.wire)))]
        problem = ""
        reply: Reply | None = None
        for candidate in range(models.candidates(self.model.alias)):
            for repairs in (1, 0):
                turns = list(asked)
                for _ in range(repairs + 1):
                    try:
                        reply = await models.complete(
                            self.model.alias,
                            turns,
                            call=self.model.next_call(),
                            schema=self.wire,
                            candidate=candidate,
                        )
                    except ModelFailure as failure:
                        problem = str(failure)
                        break
                    try:
                        parsed = self._parse(reply.text)
                    except ValueError as error:  # ValidationError and JSONDecodeError are ValueErrors
                        problem = str(error)
                        again = _REPAIR.format(problem=problem, schema=json.dumps(self.wire))
                        turns = [*turns, AIMessage(reply.text), HumanMessage(again)]
                    else:
                        return self._result(reply, parsed)
        raise ModelStopped(
            f"No model behind {self.model.alias} kept to the schema; the last: {problem}",
            todo="Use a larger model, or a simpler schema",
            raw="" if reply is None else reply.text,
        )

    def _parse(self, text: str) -> Any:
        if isinstance(self.schema, type) and issubclass(self.schema, BaseModel):
            try:
                return self.schema.model_validate_json(text)
            except ValidationError as error:
                raise ValueError(str(error)) from None
        value = json.loads(text)
        missing = set(cast("list[str]", self.wire.get("required") or [])) - set(
            value if is_object(value) else ()
        )
        if missing or not is_object(value):
            raise ValueError(f"fields are missing: {', '.join(sorted(missing)) or 'it is no object'}")
        return value

    def _result(self, reply: Reply, parsed: Any) -> Any:
        if self.include_raw:
            return {"raw": _message(reply), "parsed": parsed, "parsing_error": None}
        return parsed


def _messages(given: LanguageModelInput) -> list[BaseMessage]:
    if isinstance(given, str):
        return [HumanMessage(given)]
    if isinstance(given, PromptValue):
        return given.to_messages()
    return cast("list[BaseMessage]", list(given))


def _options(stop: list[str] | None, kwargs: dict[str, Any]) -> JsonObject | None:
    options: JsonObject = {name: value for name, value in kwargs.items() if name == "tool_choice"}
    if stop:
        options["stop"] = stop
    return options or None


def _message(reply: Reply) -> AIMessage:
    """A reply as LangChain knows it."""
    usage = UsageMetadata(
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
        total_tokens=reply.input_tokens + reply.output_tokens,
    )
    told = {
        "model_name": reply.model,
        "model_provider": reply.provider,
        "account": reply.account,
        "cost_usd": str(reply.cost_usd),
    }
    message = AIMessage(
        content=reply.message.content,
        tool_calls=reply.message.tool_calls,
        invalid_tool_calls=reply.message.invalid_tool_calls,
        usage_metadata=usage,
        response_metadata=told,
    )
    return message
