"""A server that speaks Ollama's wire protocol and fails as Ollama fails, one failure at a time.

    python -m tests.doubles.ollama_server --port 11434 --brain offline --fail http-500:2 --fail cut

What it answers comes from a brain, a function from request to reply. Everything else is as the real one does
it: NDJSON in chunks, `num_predict` stops an answer for length, `format` forces the answer into the schema, a
prompt past `num_ctx` is refused where `truncate` is false and else loses its oldest messages without a word.
Its words and fields were compared with Ollama 0.33.0-rc2 (docs/ollama.md).
"""

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self, cast

from tests.doubles.exchange import Exchange, Weather
from tests.doubles.failures import FAILURES, Failure, FailureName
from tests.doubles.serving import Handler, Serving, arguments, brain_of, forced, pieces, until_interrupted

Brain = Callable[[list[dict[str, Any]], dict[str, Any], Any, list[dict[str, Any]]], str | dict[str, Any]]
"""(messages, options, format, tools) -> the reply's text, or its message: content, tool_calls, thinking."""

ENDLESS = "and so on " * 50
"""What it says again and again under the failure `repeat`."""
_STANDING = {"capped"}  # seen outside /api/chat, never used up there

MODELS: dict[str, list[str]] = {
    "qwen3-coder:30b": ["completion", "tools"],
    "qwen3.5:9b": ["completion", "tools", "thinking"],
    "qwen3.5:4b": ["completion", "tools", "thinking"],
    "llama-old:latest": ["completion"],
    "nomic-embed-text:latest": ["embedding"],
}
"""Model -> capabilities, as /api/show tells them."""


def letters(texts: list[str], dimension: int = 768) -> list[list[float]]:
    """Vectors of the right shape: how often each letter occurs in a text."""
    return [
        [1.0 + text.lower().count(chr(97 + n % 26)) / (1 + n // 26) for n in range(dimension)]
        for text in texts
    ]


@dataclass
class OllamaServer(Serving):
    """The server. Starts on entering the context, on a free port of 127.0.0.1 unless one is given."""

    brain: Brain | None = None
    models: dict[str, list[str]] = field(
        default_factory=lambda: {name: list(can) for name, can in MODELS.items()}
    )
    context_length: int = 131_072
    """What the models were trained for, in /api/show."""
    capped_at: int = 4096
    """The window under the failure `capped`."""
    delay: float = 0.3
    """Seconds before the first byte under the failure `slow`."""
    old: bool = False
    """Whether it is one from before 0.12.6, which knows neither `truncate` nor `shift`."""
    copies: dict[str, str] = field(default_factory=dict[str, str])
    """Name -> the model that it is another name of, as `ollama cp` makes them: one digest, loaded once."""
    error: str = "llama runner process has terminated: exit status 2"
    """What it says under the failure `http-500`."""
    port: int = 0
    halfway: Callable[[], object] | None = None
    """Called in the middle of each chat's answer."""
    embed: Callable[[list[str]], dict[str, Any]] = field(default=lambda texts: {"embeddings": letters(texts)})
    """What /api/embed answers for texts."""
    failures: list[Failure] = field(default_factory=list[Failure])
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    """(path, body) of every request so far."""
    most_at_once: int = 0
    """The most chats that were ever in progress together."""
    disconnects: int = 0
    weather: Weather | None = None
    exchanges: list[Exchange] = field(default_factory=list[Exchange])

    def __enter__(self) -> Self:
        self._chatting = 0
        self.windows: dict[str, int] = {}
        return super().__enter__()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def chats(self) -> list[dict[str, Any]]:
        """Bodies of the /api/chat requests so far."""
        return [body for path, body in self.requests if path == "/api/chat"]

    def fail(self, name: FailureName, *, times: int | None = None, after: int = 0) -> None:
        """Switch a failure on, for `times` chats (None: for ever) after the next `after`."""
        assert name in FAILURES, name
        self.failures.append(Failure(name, times, after))

    def heal(self) -> None:
        """Switch every failure off."""
        self.failures.clear()

    def is_on(self, name: FailureName) -> bool:
        return any(failure.name == name and failure.times != 0 for failure in self.failures)

    def next_failures(self) -> set[str]:
        """The failures of the chat that begins now, counted down."""
        now: set[str] = set()
        with self.lock:
            for failure in self.failures:
                if failure.after:
                    failure.after -= 1
                elif failure.times != 0:
                    now.add(failure.name)
                    if failure.times and failure.name not in _STANDING:
                        failure.times -= 1
        return now

    @contextlib.contextmanager
    def chatting(self) -> Iterator[None]:
        """Count a chat as in progress."""
        with self.lock:
            self._chatting += 1
            self.most_at_once = max(self.most_at_once, self._chatting)
        try:
            yield
        finally:
            with self.lock:
                self._chatting -= 1

    def digest(self, model: str) -> str:
        return hashlib.sha256(self.copies.get(model, model).encode()).hexdigest()

    def load(self, model: str, asked: int) -> int:
        """Load a model with a window, under the name by which it is loaded already; the window it gets."""
        known = [name for name in self.windows if self.digest(name) == self.digest(model)]
        self.windows[known[0] if known else model] = asked
        return self.window(asked)

    def window(self, asked: int) -> int:
        return min(asked, self.capped_at) if self.is_on("capped") else asked


class _Handler(Handler):
    @property
    def double(self) -> OllamaServer:
        return cast(OllamaServer, self.server.double)

    def do_GET(self) -> None:
        double = self.double
        double.requests.append((self.path, {}))
        match self.path:
            case "/api/version":
                self._json({"version": "0.12.3" if double.old else "0.33.0"})
            case "/api/tags":
                listed = [_listed(name, double.digest(name), can) for name, can in double.models.items()]
                self._json({"models": listed})
            case "/api/ps":
                windows = {name: double.window(most) for name, most in double.windows.items()}
                loaded = [_loaded(name, double.digest(name), most) for name, most in windows.items()]
                self._json({"models": loaded})
            case _:
                self._no_page()

    def do_POST(self) -> None:
        body = self.body()
        self.double.requests.append((self.path, body))
        asked = str(body.get("model", ""))
        model = asked if ":" in asked else f"{asked}:latest"
        match self.path:
            case "/api/chat":
                with self.double.chatting():
                    self._chat(model, body)
            case "/api/show" if model not in self.double.models:
                self._json({"error": f"model '{model}' not found"}, 404)
            case "/api/embed" if model not in self.double.models:
                self._json({"error": f'model "{asked}" not found, try pulling it first'}, 404)
            case "/api/show":
                info = {"general.architecture": "double", "double.context_length": self.double.context_length}
                can = self.double.models[model]
                self._json({"modelfile": f"FROM {model}", "template": "{{ .Prompt }}", "details": _DETAILS,
                            "model_info": info, "capabilities": can, "modified_at": _LONG_AGO})  # fmt: skip
            case "/api/embed":
                texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
                self._json({"model": model, "prompt_eval_count": len(texts), **self.double.embed(texts)})
            case _:
                self._no_page()

    def _chat(self, model: str, body: dict[str, Any]) -> None:
        double, failing = self.double, self.double.next_failures()
        if double.weather is not None:
            failing |= double.weather("ollama", body)
        self.exchange = Exchange("ollama", body, failing)
        double.exchanges.append(self.exchange)
        if "gone" in failing:
            double.models.pop(model, None)
            double.windows.pop(model, None)
        if "reset" in failing:
            return self.reset()
        if "hang" in failing:
            return self.hang()
        if "slow" in failing:
            time.sleep(double.delay)
        if refusal := self._refusal(model, body, failing):
            return self._json({"error": refusal[1]}, refusal[0])
        options = body.get("options") or {}
        window = double.load(model, int(options.get("num_ctx", 4096)))
        messages, read = _fitted(body.get("messages", []), window, failing)
        if too_long := self._too_long(body, window, failing):
            return self._json({"error": too_long}, 400)
        if not body.get("messages"):
            return self._json({"model": model, "message": {"role": "assistant", "content": ""},
                               "done": True, "done_reason": "load"})  # fmt: skip
        message = self._reply(body, messages, options, failing)
        return self._tell(model, body, message, read, failing)

    def _too_long(self, body: dict[str, Any], window: int, failing: set[str]) -> str | None:
        """The words of the server's runner about a prompt that it was not to cut, JSON as they come."""
        sent = _tokens(body.get("messages", []), failing)
        if self.double.old or body.get("truncate") is not False or sent <= window:
            return None
        sizes = f"request ({sent} tokens) exceeds the available context size ({window} tokens)"
        told = {"code": 400, "message": f"{sizes}, try increasing it", "type": "exceed_context_size_error",
                "n_prompt_tokens": sent, "n_ctx": window}  # fmt: skip
        return json.dumps({"error": told})

    def _refusal(self, model: str, body: dict[str, Any], failing: set[str]) -> tuple[int, str] | None:
        if "http-500" in failing:
            return 500, self.double.error
        if "http-503" in failing:
            return 503, "server busy, please try again. maximum pending requests exceeded"
        if "too-long" in failing:
            return 400, "the input length exceeds the context length"
        if model not in self.double.models or "http-404" in failing:
            return 404, f"model '{body.get('model')}' not found"
        capabilities = self.double.models[model]
        if body.get("tools") and "tools" not in capabilities:
            return 400, f"registry.ollama.ai/library/{model} does not support tools"
        if body.get("think") and "thinking" not in capabilities:
            return 400, f'"{model}" does not support thinking'
        return None

    def _reply(
        self, body: dict[str, Any], messages: list[dict[str, Any]], options: dict[str, Any], failing: set[str]
    ) -> dict[str, Any]:
        """The message that the model gives: the brain's, in the shape that `format` forces on it."""
        wanted = body.get("format")
        tools = [] if "ignore-tools" in failing else body.get("tools") or []
        if wanted and ("ignore-format" in failing or "prose" in failing):
            said: str | dict[str, Any] = "The sea lies grey and still, and a pale light comes up behind it."
        else:
            said = (
                self.double.brain(messages, options, wanted, tools) if self.double.brain else "Good morning."
            )
        message: dict[str, Any] = (
            {"role": "assistant", "content": said} if isinstance(said, str) else dict(said)
        )
        message.setdefault("role", "assistant")
        message.setdefault("content", "")
        loose = failing & {"ignore-format", "prose"} or (
            "ignore-format-without-thinking" in failing and body.get("think") is False
        )
        if isinstance(wanted, dict) and not loose:
            message["content"] = forced(message["content"], wanted)
        if "half-json" in failing:
            message["content"] = (
                message["content"] if "{" in message["content"] else '{"a": [1, 2], "b": 3}'
            )[:-4]
        if "empty" in failing:
            message = {"role": "assistant", "content": ""}
        if "prose" in failing:
            message["content"] = "I think that everything is done. Shall I go on?"
        if "think" in failing:
            message["content"] = f"<think>\nFirst I should look closely.\n</think>\n\n{message['content']}"
        if body.get("think"):
            message.setdefault("thinking", "Let me think.")
        else:
            message.pop("thinking", None)
        return message

    def _tell(
        self, model: str, body: dict[str, Any], message: dict[str, Any], read: int, failing: set[str]
    ) -> None:
        """Send a message as the stream of lines that Ollama makes of it, or as one object."""
        words = pieces(message["content"])
        most = int((body.get("options") or {}).get("num_predict", -1))
        reason = "stop"
        if 0 <= most < len(words):
            words, reason = words[:most], "length"
        if "length" in failing:
            words, reason = words[: max(1, len(words) // 2)], "length"
        end = {"done": True, "done_reason": reason, "total_duration": 1_000_000, "load_duration": 1000,
               "prompt_eval_count": read, "prompt_eval_duration": 1000, "eval_count": len(words),
               "eval_duration": 1000}  # fmt: skip
        head = {"model": model, "created_at": "2026-11-21T00:00:00Z"}
        if body.get("stream", True) is False:
            return self._json({**head, "message": {**message, "content": "".join(words)}, **end})
        self.stream("application/x-ndjson")
        try:
            for line in self._lines(head, message, words, end, failing):
                told = line if isinstance(line, bytes) else json.dumps({**head, **line}).encode()
                self.chunk(told + b"\n")
            if "cut" in failing:
                self.close_connection = True
                return None
            self.chunk(b"")
        except OSError:
            self.given_up()

    def _lines(
        self,
        head: dict[str, Any],
        message: dict[str, Any],
        words: list[str],
        end: dict[str, Any],
        failing: set[str],
    ) -> Iterator[dict[str, Any] | bytes]:
        def line(content: str, **more: Any) -> dict[str, Any]:
            return {"message": {"role": "assistant", "content": content, **more}, "done": False}

        if message.get("thinking"):
            yield line("", thinking=message["thinking"])
        while "repeat" in failing:
            self.exchange.said += ENDLESS
            # One that thinks does not come to an end with that.
            yield line("", thinking=ENDLESS) if message.get("thinking") else line(ENDLESS)
        broken = failing & {"cut", "cut-clean", "bad-line", "error-line"}
        for number, word in enumerate(words[: len(words) // 2] if broken else words):
            if number == len(words) // 2 and self.double.halfway is not None:
                self.double.halfway()
            self.exchange.said += word
            yield line(word)
        if "bad-line" in failing:
            yield b'{"model": "x", "message": {"role": "assis'
        if "error-line" in failing:
            yield {"error": "an error was encountered while running the model: unexpected EOF"}
        if broken:
            return
        if message.get("tool_calls"):
            yield line("", tool_calls=message["tool_calls"])
        self.exchange.whole = True
        self.exchange.input_tokens = end["prompt_eval_count"]
        self.exchange.output_tokens = end["eval_count"]
        yield {"message": {"role": "assistant", "content": ""}, **end}

    def _no_page(self) -> None:
        self.send(b"404 page not found", "text/plain", 404)

    def _json(self, value: dict[str, Any], status: int = 200) -> None:
        self.send(json.dumps(value).encode(), "application/json; charset=utf-8", status)


OllamaServer.handler = _Handler


def _fitted(
    messages: list[dict[str, Any]], window: int, failing: set[str]
) -> tuple[list[dict[str, Any]], int]:
    """What a window leaves of a prompt, and its tokens: the oldest messages go, system and last one stay."""
    kept = list(messages)
    while _tokens(kept, failing) > window and len(kept) > 1:
        oldest = next((at for at, message in enumerate(kept[:-1]) if message["role"] != "system"), None)
        if oldest is None:
            break
        del kept[oldest]
    return kept, min(_tokens(kept, failing), window)


def _tokens(messages: list[dict[str, Any]], failing: set[str]) -> int:
    per_token = 1 if "overflow" in failing else 4
    return sum(math.ceil(len(str(message.get("content") or "").encode()) / per_token) for message in messages)


_LONG_AGO = "2026-01-01T00:00:00.000000000Z"
_DETAILS: dict[str, Any] = {
    "parent_model": "", "format": "gguf", "family": "double", "families": ["double"],
    "parameter_size": "30.5B", "quantization_level": "Q4_K_M",
}  # fmt: skip


def _listed(name: str, digest: str, capabilities: list[str]) -> dict[str, Any]:
    return {"name": name, "model": name, "modified_at": _LONG_AGO, "size": 18_000_000_000, "digest": digest,
            "details": _DETAILS, "capabilities": capabilities}  # fmt: skip


def _loaded(name: str, digest: str, window: int) -> dict[str, Any]:
    return {"name": name, "model": name, "size": 18_000_000_000, "digest": digest, "details": _DETAILS,
            "expires_at": "2100-01-01T00:00:00Z", "size_vram": 0, "context_length": window}  # fmt: skip


def main() -> None:
    given = arguments(__doc__, FAILURES).parse_args()
    with OllamaServer(brain=brain_of(given), port=given.port) as server:
        until_interrupted(server, server.url, given, FAILURES)


if __name__ == "__main__":
    main()
