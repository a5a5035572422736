"""Asks one candidate of a chain: a pool, a model of Ollama, or the offline model; a Reply comes back."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from core import clock
from core.json import JsonObject
from models.answer import Answer, Heard
from models.budget import Guard, Intent, Reservation, Spent
from models.calls import Call, Reply
from models.catalogue import Limits
from models.errors import ModelFailure
from models.privacy import untraced
from models.routing.deployment import Request
from models.routing.pool import AccountPool
from models.routing.router import Router
from models.window import estimate

if TYPE_CHECKING:
    from models.chat import OllamaModel

OFFLINE = "offline"
OLLAMA = "ollama"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, by whom."""

    alias: str
    messages: Sequence[BaseMessage]
    call: Call
    project: str | None = None
    local_only: bool = False
    schema: JsonObject | None = None
    tools: Sequence[BaseTool | JsonObject] = ()
    heard: Heard | None = None
    options: JsonObject | None = None
    by: str = ""
    """The person behind it, for traces."""


async def ask_pool(router: Router, pool: AccountPool, question: Question, limits: Limits) -> Reply:
    """A reply of one of a pool's accounts. Raises what `Router.ask` raises."""
    started = clock.monotonic()
    # No model does both well.
    wanted = question.tools if question.schema is None and pool.can("tools") else ()
    tools = tuple(convert_to_openai_tool(tool) for tool in wanted)
    request = Request(
        question.call.kind,
        estimate(question.messages, tools, limits),
        0,
        question.schema,
        tools,
        question.options,
    )
    outcome = await router.ask(
        pool,
        question.messages,
        request,
        question.call,
        project=question.project,
        local_only=question.local_only,
        heard=question.heard,
    )
    deployment = outcome.deployment
    return Reply(
        message=outcome.answer.message,
        alias=question.alias,
        provider=deployment.account.provider,
        model=deployment.model,
        input_tokens=outcome.input_tokens,
        output_tokens=outcome.output_tokens,
        cost_usd=outcome.cost_usd,
        seconds=clock.monotonic() - started,
        thinking=outcome.answer.thinking,
        format_honoured=outcome.format_honoured,
        account=deployment.account.name,
        charges=outcome.charges,
    )


async def ask_ollama(guard: Guard, model: "OllamaModel", question: Question, limits: Limits) -> Reply:
    """A reply of a model of the Ollama at FACTORY_OLLAMA_URL. Raises what `OllamaModel.ask` raises."""
    started = clock.monotonic()
    wanted = question.tools if model.tools and question.schema is None else ()
    tools = tuple(convert_to_openai_tool(tool) for tool in wanted)
    prompt = estimate(question.messages, tools, limits)
    intent = Intent(
        question.call,
        f"{question.call.key}#1",
        question.project,
        OLLAMA,
        OLLAMA,
        model.name,
        prompt,
        model.spec.num_predict,
        model.spec.cost(prompt, model.spec.num_predict),
    )
    reservation = await guard.reserve(intent)
    said = Answer()
    try:
        with untraced(question.local_only):
            answer, honoured = await model.ask(
                question.messages,
                kind=question.call.kind,
                schema=question.schema,
                tools=tools,
                heard=question.heard,
                said=said,
            )
    except BaseException as error:
        spent = said.spent(prompt, limits)
        if isinstance(error, ModelFailure):
            error.input_tokens, error.output_tokens = spent
            error.raw = error.raw or said.text or said.earlier_text
        await _settle(guard, reservation, model, *spent)
        raise
    input_tokens, output_tokens = said.spent(prompt, limits)
    cost = await _settle(guard, reservation, model, input_tokens, output_tokens)
    return Reply(
        message=answer.message,
        alias=question.alias,
        provider=OLLAMA,
        model=model.name,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=cost,
        seconds=clock.monotonic() - started,
        thinking=answer.thinking,
        format_honoured=honoured,
    )


async def _settle(
    guard: Guard, reservation: Reservation, model: "OllamaModel", inputs: int, outputs: int
) -> Decimal:
    cost = model.spec.cost(inputs, outputs)
    if inputs or outputs:
        await guard.settle(reservation, Spent(inputs, outputs, cost))
    else:
        await guard.release(reservation)
    return cost


class Offline:
    """The scripted model, loaded when it is first asked, so that a run on a real model never loads it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._model: BaseChatModel | None = None

    async def ask(self, question: Question) -> Reply:
        """The script's reply. Raises ModelScriptEnded."""
        if self._model is None:
            script = cast("type[BaseChatModel]", import_module("models.offline").OfflineModel)
            self._model = script()
        started = clock.monotonic()
        message = await self._model.ainvoke(list(question.messages))
        usage = message.usage_metadata
        return Reply(
            message=AIMessage(content=str(message.text), tool_calls=message.tool_calls),
            alias=question.alias,
            provider=OFFLINE,
            model=OFFLINE,
            input_tokens=usage["input_tokens"] if usage else estimate(question.messages, (), self._limits),
            output_tokens=usage["output_tokens"] if usage else estimate([message], (), self._limits),
            cost_usd=Decimal(0),
            seconds=clock.monotonic() - started,
        )
