"""One exchange with a chat model of LangChain's, told into an Answer."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast
from urllib.parse import urlsplit

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import add_ai_message_chunks

from core.json import JsonObject
from models.answer import CHARACTERS_PER_TOKEN, Answer, Heard, characters
from models.catalogue import ModelSpec
from models.errors import ModelStopped
from models.providers.clients import Addressee, Clients
from models.routing.deployment import Request

_LENGTH = frozenset({"length", "max_tokens", "model_context_window_exceeded"})
_FILTERED = frozenset(
    {"content_filter", "refusal", "safety", "recitation", "blocklist", "prohibited_content"}
)


class LangChainEndpoint:
    """A model of a cloud account, or of any server that speaks a cloud's protocol."""

    def __init__(self, clients: Clients, to: Addressee, spec: ModelSpec) -> None:
        self._clients = clients
        self._to = to
        self._spec = spec

    async def exchange(
        self, messages: list[BaseMessage], request: Request, said: Answer, heard: Heard | None
    ) -> bool | None:
        """One streamed answer. Raises what the provider's library raises, and ModelStopped."""
        client = await self._clients.get(self._to)
        # Elsewhere than with OpenAI's protocol a schema is only asked for, in the prompt.
        able = self._to.kind == "openai" and "format" in self._spec.capabilities
        formatted = request.schema is not None and able
        wish = _WISH[self._to.kind](request, formatted, self._to.base_url)
        asked: Any = client.bind_tools(wish.pop("bind")) if "bind" in wish else client
        chunks: list[AIMessageChunk] = []
        longest = request.answer * CHARACTERS_PER_TOKEN
        stream = cast("AsyncGenerator[AIMessageChunk, None]", asked.astream(messages, **wish))
        async with aclosing(stream):
            async for chunk in stream:
                chunks.append(chunk)
                if heard is not None and (chunk.text or chunk.tool_call_chunks):
                    heard(chunk)
                said.say(str(chunk.text))
                said.came += characters(chunk)
                if said.came > longest:
                    raise ModelStopped(
                        f"{self._to.model} went on past the longest answer it was allowed",
                        todo="The reply is not used; another model may do better",
                        raw=said.text,
                    )
        if not chunks:
            raise ConnectionError("the answer was empty")
        _finish(said, add_ai_message_chunks(chunks[0], *chunks[1:]))
        if self._to.kind == "openai":
            _count_once(said, chunks)
        if said.done_reason is None:
            raise ConnectionError("the stream ended before the answer did")
        return None if request.schema is None else formatted


def _finish(said: Answer, whole: AIMessageChunk) -> None:
    """What only the whole answer tells."""
    said.tool_calls = list(whole.tool_calls)
    said.invalid_tool_calls = list(whole.invalid_tool_calls)
    said.thinking = _thinking(whole)
    if whole.usage_metadata is not None:
        said.input_tokens = whole.usage_metadata["input_tokens"]
        said.output_tokens = whole.usage_metadata["output_tokens"]
    told = cast("Mapping[str, Any]", whole.response_metadata)
    reason = told.get("finish_reason") or told.get("stop_reason")
    if reason is None:
        return
    name = str(getattr(reason, "name", reason)).lower()
    if name in _FILTERED:
        said.done_reason = "filtered"
    else:
        said.done_reason = "length" if name in _LENGTH else "stop"


def _count_once(said: Answer, chunks: Sequence[AIMessageChunk]) -> None:
    """Some servers tell with every piece what was used so far; LangChain adds that up."""
    told = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata is not None]
    said.input_tokens = max((each["input_tokens"] for each in told), default=0)
    said.output_tokens = max((each["output_tokens"] for each in told), default=0)


def _thinking(whole: AIMessageChunk) -> str:
    blocks = cast("list[dict[str, Any]]", whole.content_blocks) if isinstance(whole.content, list) else []
    told = "".join(str(block.get("reasoning", "")) for block in blocks if block.get("type") == "reasoning")
    return told or str(whole.additional_kwargs.get("reasoning_content", ""))


def _openai(request: Request, formatted: bool, base_url: str) -> dict[str, Any]:
    wish: dict[str, Any] = dict(request.options or {})
    body: dict[str, Any] = {}
    # OpenAI's newer models refuse the one name, other servers do not know the other.
    if urlsplit(base_url).hostname == "api.openai.com":
        wish["max_tokens"] = request.answer  # LangChain sends it as max_completion_tokens
    else:
        body["max_tokens"] = request.answer
    if request.tools:
        wish["tools"] = list(request.tools)
    if formatted and request.schema is not None:
        # Past LangChain's own handling, which parses and validates the answer before anybody has seen it.
        schema = {"name": "answer", "schema": request.schema, "strict": _strict(request.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if body:
        wish["extra_body"] = body
    return wish


def _strict(schema: JsonObject) -> bool:
    """Whether OpenAI's strict mode takes it: every field required, and no others allowed."""
    properties = schema.get("properties")
    required = schema.get("required")
    return (
        isinstance(properties, Mapping)
        and isinstance(required, list)
        and set(properties) == set(cast("list[str]", required))
        and schema.get("additionalProperties") is False
    )


def _anthropic(request: Request, formatted: bool, base_url: str) -> dict[str, Any]:
    wish: dict[str, Any] = {"max_tokens": request.answer}
    if stop := (request.options or {}).get("stop"):
        wish["stop"] = stop
    if request.tools:
        wish["bind"] = list(request.tools)  # the library knows how to write them
    return wish


def _gemini(request: Request, formatted: bool, base_url: str) -> dict[str, Any]:
    wish = _anthropic(request, formatted, base_url)
    wish["max_output_tokens"] = wish.pop("max_tokens")
    return wish


_WISH = {"openai": _openai, "anthropic": _anthropic, "gemini": _gemini}
