"""One conversation partner: a model of an Ollama server, with every rule that Ollama as it is needs.

Each rule is here because its absence fails silently: Ollama cuts a long prompt, ignores `format` for some
models, ends a stream in the middle, and says nothing.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Literal, cast

import structlog
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_ollama import ChatOllama

from core.json import JsonObject, is_object
from models.answer import CHARACTERS_PER_TOKEN, Answer, Heard, characters
from models.arguments import with_texts
from models.calls import CallKind
from models.catalogue import Catalogue
from models.errors import ContextOverflow, ModelStopped, ModelTooSmall, ModelUnavailable, UnknownModel
from models.retry import BROKEN, judge, pause, words
from models.server import OllamaServer, Shown, http_options
from models.uncut import refuse_cuts
from models.window import CODING, estimate, fit, tokens_of, was_cut

FormatMode = Literal["constrained", "thinking", "plain"]
"""How a model is made to answer in JSON: by `format` without thinking; by `format` after thinking (some
models ignore it otherwise); by asking only, because it ignores `format`."""

_CANARY_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"honoured": {"type": "boolean"}},
    "required": ["honoured"],
}
_THOUGHT = re.compile(r"\A\s*<think>(.*?)(?:</think>|\Z)", re.DOTALL)

_log = structlog.get_logger(__name__)


class OllamaModel:
    """One model of one server. Safe for concurrent calls."""

    def __init__(
        self, server: OllamaServer, name: str, catalogue: Catalogue, shown: Shown, *, pooled: bool = False
    ) -> None:
        self.name = name
        self._pooled = pooled
        """In a pool a broken exchange is the pool's to judge: it is tried once, and raised as it is."""
        self.spec = catalogue.spec(name)
        self.window = min(self.spec.num_ctx, shown.context_length or self.spec.num_ctx)
        """Tokens of prompt and answer that are asked for; less once the server proved to give less."""
        told = shown.capabilities
        self.tools = "tools" in self.spec.capabilities and (told is None or "tools" in told)
        self.thinks = "thinking" in (self.spec.capabilities if told is None else told)
        self.embeds = "embed" in self.spec.capabilities
        self._asked = self.window
        self.verified = False
        """Whether the window was compared with the one that the server gave."""
        self._mode: FormatMode | None = None if "format" in self.spec.capabilities else "plain"
        self._server = server
        self._limits = catalogue.limits
        self._retry = catalogue.retry
        self._canary = catalogue.canary
        self._client: ChatOllama | None = None
        self._opening = asyncio.Lock()
        self._trying = asyncio.Lock()

    async def ask(
        self,
        messages: Sequence[BaseMessage],
        *,
        kind: CallKind,
        schema: JsonObject | None = None,
        tools: Sequence[BaseTool | JsonObject] = (),
        heard: Heard | None = None,
        said: Answer | None = None,
    ) -> tuple[Answer, bool | None]:
        """A whole answer, and whether `format` was in force (None without a schema).

        `heard` is told of each piece as it comes; `said` follows what was said, for whoever wants to know it
        of an exchange that broke.

        Raises ModelTooSmall, ContextOverflow, ModelStopped, ModelUnavailable, UnknownModel. Tools are left
        out of a call with a schema: no model does both well.
        """
        specs = [convert_to_openai_tool(tool) for tool in tools] if self.tools and schema is None else []
        prompt = estimate(messages, specs, self._limits)
        await self._look_again()
        room = self._room(prompt, kind)
        said = Answer() if said is None else said
        try:
            async with self._server.turn, asyncio.timeout(self._limits.call_seconds):
                mode = await self._format_mode(said) if schema is not None else None
                answer = await self._exchange(
                    messages,
                    said,
                    prompt=prompt,
                    num_predict=room,
                    format=schema if mode in ("constrained", "thinking") else None,
                    reasoning=(mode in (None, "thinking")) if self.thinks else None,
                    tools=specs,
                    heard=heard,
                )
                answer.tool_calls = [with_texts(call, specs) for call in answer.tool_calls]
                await self._verify_window(prompt, answer, kind)
        except TimeoutError:
            raise self._too_slow(said) from None
        self._require_whole(answer, prompt, room)
        return answer, None if mode is None else mode != "plain"

    def _room(self, prompt: int, kind: CallKind) -> int:
        if kind in CODING and self.window < self._limits.least_context:
            raise ModelTooSmall(
                f"{self.name} has a window of {self.window} tokens; "
                f"{kind} needs {self._limits.least_context}",
                untouched="Nothing was sent",
                todo="Choose a model with a larger window, or raise its num_ctx in the models file",
            )
        room = fit(prompt, self.window, self.spec.num_predict, self._limits)
        if room.refused:
            raise ContextOverflow(
                f"The prompt does not fit {self.name}: {room.refused}",
                untouched="Nothing was sent",
                todo="Shorten the prompt, or raise num_ctx of this model in the models file",
            )
        return room.answer

    async def _exchange(
        self,
        messages: Sequence[BaseMessage],
        said: Answer,
        *,
        prompt: int,
        num_predict: int,
        format: JsonObject | None,
        reasoning: bool | None,
        tools: Sequence[JsonObject] = (),
        heard: Heard | None = None,
    ) -> Answer:
        """One answer, with retries of what may pass. `said` follows what is heard, for whoever gives up."""
        request: dict[str, Any] = {
            "options": self._options(num_predict),
            "format": format,
            "reasoning": reasoning,
        }
        if tools:
            request["tools"] = list(tools)
        failure, attempt = "", 0
        for attempt in range(1, self._retry.attempts + 1):
            said.again(prompt, self._limits)
            try:
                await self._listen(messages, said, request, heard)
            except BROKEN as error:
                if self._pooled:
                    raise
                failure = words(error)
                self._give_up(error, failure)
                if heard is not None and said.begun:
                    break  # somebody has read its beginning
            else:
                return said
            _log.warning("model call failed", model=self.name, attempt=attempt, error=failure)
            if attempt < self._retry.attempts:
                await asyncio.sleep(pause(attempt, self._retry))
        raise ModelUnavailable(
            f"{self.name} at {self._server.name} failed {attempt} times: {failure}",
            todo="Look at Ollama's log and `ollama ps`, then resume the run",
            raw=said.text,
        )

    async def _listen(
        self,
        messages: Sequence[BaseMessage],
        said: Answer,
        request: dict[str, Any],
        heard: Heard | None = None,
    ) -> None:
        client = await self._chat_client()
        longest = int(request["options"]["num_predict"]) * CHARACTERS_PER_TOKEN
        stream = cast("AsyncGenerator[AIMessageChunk, None]", client.astream(list(messages), **request))
        async with aclosing(stream):
            async for chunk in stream:
                if heard is not None:
                    heard(chunk)
                said.say(str(chunk.text))
                said.thinking += str(chunk.additional_kwargs.get("reasoning_content", ""))
                said.tool_calls.extend(chunk.tool_calls)
                said.came += characters(chunk)
                if said.came > longest:
                    raise ModelStopped(
                        f"{self.name} went on past the longest answer it was allowed",
                        todo="The reply is not used; another model may do better",
                        raw=said.text,
                    )
                if chunk.response_metadata.get("done"):
                    said.done_reason = str(chunk.response_metadata.get("done_reason") or "stop")
                if chunk.usage_metadata is not None:
                    said.input_tokens = chunk.usage_metadata["input_tokens"]
                    said.output_tokens = chunk.usage_metadata["output_tokens"]
        if said.done_reason is None:
            raise self._unfinished(said)
        if (thought := _THOUGHT.match(said.text)) is not None:
            # Templates that Ollama does not know leave the model's thinking in its text.
            said.thinking += thought[1].strip()
            said.text = said.text[thought.end() :].lstrip()

    def _options(self, num_predict: int) -> dict[str, int | float]:
        options: dict[str, int | float] = {"num_ctx": self._asked, "num_predict": num_predict}
        if self.spec.temperature is not None:
            options["temperature"] = self.spec.temperature
        return options

    def _give_up(self, error: Exception, words: str) -> None:
        """Raise what a failure means where trying again cannot help."""
        match judge(error):
            case "missing":
                raise UnknownModel(
                    f"Ollama at {self._server.name} has no model {self.name!r}",
                    todo=f"ollama pull {self.name}",
                ) from None
            case "overflow":
                raise ContextOverflow(
                    f"{self.name} refused the prompt: {words}",
                    todo="Shorten the prompt, or raise num_ctx of this model in the models file",
                ) from None
            case "refused":
                raise ModelUnavailable(
                    f"Ollama refused the request to {self.name}: {words}",
                    todo="Correct this model's capabilities in the models file",
                ) from None
            case "again":
                pass

    async def _chat_client(self) -> ChatOllama:
        async with self._opening:
            if self._client is None:
                # A thread: making one takes a tenth of a second.
                self._client = await asyncio.to_thread(
                    ChatOllama,
                    model=self.name,
                    base_url=self._server.url,
                    num_ctx=self._asked,
                    num_predict=self.spec.num_predict,
                    temperature=self.spec.temperature,
                    keep_alive=self.spec.keep_alive,
                    client_kwargs=http_options(self._server.url, self._limits),
                    async_client_kwargs={"event_hooks": {"request": [refuse_cuts]}},
                )
            return self._client

    async def _format_mode(self, said: Answer) -> FormatMode:
        """How this model answers in JSON, found out by a tiny call the first time, which `said` pays."""
        async with self._trying:
            if self._mode is None:
                self._mode = await self._try_format(said)
                if self._mode == "plain":
                    _log.warning("model ignores format; its JSON is only asked for", model=self.name)
            return self._mode

    async def _try_format(self, said: Answer) -> FormatMode:
        asked = [HumanMessage(self._canary.prompt)]
        prompt = estimate(asked, (), self._limits)
        trials: list[tuple[FormatMode, bool | None, int]] = [("constrained", None, 1)]
        if self.thinks:
            trials = [("constrained", False, 1), ("thinking", True, 10)]
        for mode, reasoning, longer in trials:
            answer = Answer()
            try:
                await self._exchange(
                    asked,
                    answer,
                    prompt=prompt,
                    num_predict=self._canary.num_predict * longer,
                    format=_CANARY_SCHEMA,
                    reasoning=reasoning,
                )
            except ModelStopped:
                pass  # an answer that never ends does not keep to a schema either
            finally:
                said.add(answer.spent(prompt, self._limits))
            if _honours(answer.text):
                return mode
        return "plain"

    async def _look_again(self) -> None:
        """A window that was too small may have grown since: whoever runs Ollama was told to see to that."""
        if self.window >= self._asked:
            return
        real = await self._server.window(self.name)
        if real is None:  # not loaded any more: measured anew after the next call
            self.window, self.verified = self._asked, False
        else:
            self.window = min(real, self._asked)

    async def _verify_window(self, prompt: int, answer: Answer, kind: CallKind) -> None:
        """Compare the window with the one that was asked for, once the model is loaded."""
        if self.verified:
            return
        real = await self._server.window(self.name)
        if real is None:
            return  # asked again after the next call
        self.verified = True
        if real >= self.window:
            return
        asked, self.window = self.window, real
        _log.warning("model has a smaller window than asked for", model=self.name, asked=asked, real=real)
        self._room(prompt, kind)
        if prompt + answer.output_tokens > real:
            raise ContextOverflow(
                f"Ollama gave {self.name} a window of {real} tokens, not {asked}; the prompt was cut",
                untouched="The reply is not used",
                todo="Give Ollama more memory for this model, or lower its num_ctx in the models file",
            )

    def _require_whole(self, answer: Answer, prompt: int, room: int) -> None:
        if was_cut(prompt, answer.input_tokens, self.window, self._limits):
            raise ContextOverflow(
                f"Ollama cut the prompt: about {prompt} tokens were sent, {answer.input_tokens} were read "
                f"(window {self.window})",
                untouched="The reply is not used",
                todo="Shorten the prompt, or raise num_ctx of this model in the models file",
            )
        if answer.done_reason == "length":
            raise ModelStopped(
                f"{self.name} stopped for length after {answer.output_tokens} tokens (num_predict {room})",
                untouched="The reply is not used",
                todo="Ask for less at once, or raise num_predict of this model in the models file",
                raw=answer.text,
                input_tokens=answer.input_tokens,
                output_tokens=answer.output_tokens,
            )
        if not answer.text.strip() and not answer.tool_calls:
            raise ModelStopped(
                f"{self.name} answered nothing",
                todo="Another model may do better",
                raw=answer.thinking,
                input_tokens=answer.input_tokens,
                output_tokens=answer.output_tokens,
            )

    def _unfinished(self, said: Answer) -> Exception:
        """Why a stream ended in good order without its last line.

        A connection that breaks is told by the HTTP client. Ollama itself leaves that line out where it ends
        an answer that goes in circles: a token more than 30 times in a row (`tokenRepeat` of its runner).
        """
        if not said.begun:
            return ConnectionError("the stream ended before the answer did")
        return ModelStopped(
            f"{self.name} went in circles, and Ollama ended its answer",
            untouched="The reply is not used",
            todo="Another model may do better, or a higher temperature for this one in the models file",
            raw=said.text,
            output_tokens=tokens_of(said.text + said.thinking, self._limits),
        )

    def _too_slow(self, said: Answer) -> ModelStopped | ModelUnavailable:
        limit = f"within {self._limits.call_seconds:g} s"
        if said.text or said.thinking:
            return ModelStopped(
                f"{self.name} did not finish its answer {limit}",
                untouched="The reply is not used",
                todo="Use a faster model, or raise limits.call_seconds in the models file",
                raw=said.text,
            )
        return ModelUnavailable(
            f"{self.name} did not answer {limit}",
            todo="Look at Ollama's log and `ollama ps`, then resume the run",
        )


def _honours(text: str) -> bool:
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return is_object(value) and isinstance(value.get("honoured"), bool)
