"""A server that speaks OpenAI's chat completions and fails as such servers fail, one failure at a time.

    python -m tests.doubles.openai_server --port 8000 --fail http-529:2 --key sk-double-1

It has keys, each with its own limits and its own count; streaming as server-sent events with usage, tool
calls, `response_format`. What it answers comes from the same brains as the Ollama double's.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args
from urllib.parse import urlsplit

from tests.doubles.exchange import Exchange, Weather
from tests.doubles.serving import Handler, Serving, arguments, brain_of, forced, pieces, until_interrupted

Brain = Callable[[list[dict[str, Any]], dict[str, Any], Any, list[dict[str, Any]]], str | dict[str, Any]]

FailureName = Literal[
    "http-400",  # a request that no server would take
    "http-401",  # the key is refused
    "http-403",  # the key may not do this
    "http-404",  # no such model for this account
    "http-429",  # too many requests, with `retry_after` where one is set
    "http-500",
    "http-503",
    "http-529",  # overloaded, as Anthropic says it
    "no-credit",  # 429 with insufficient_quota
    "overflow",  # context_length_exceeded
    "reset",  # the connection is reset before an answer
    "hang",  # no byte ever comes
    "hang-after",  # the stream stops after its first piece, and stays open
    "cut",  # the connection ends in the middle of the stream
    "cut-clean",  # the stream ends in the middle, as if it were whole
    "bad-json",  # an event that is no JSON
    "html",  # a page of a proxy in place of an answer
    "error-event",  # an error inside the stream
    "empty",  # an answer without a word
    "length",  # finish_reason length
    "filter",  # finish_reason content_filter
    "repeat",  # an answer that never ends
    "repeat-call",  # nor do the arguments of a call
    "redirect",  # to somewhere else
    "usage-so-far",  # no failure: every piece of a stream says what was used, as some servers do
]
FAILURES: tuple[str, ...] = get_args(FailureName)
ENDLESS = "and so on " * 200
"""What it says again and again under the failure `repeat`."""


@dataclass
class _Failure:
    name: str
    times: int | None
    after: int
    key: str | None


@dataclass
class Counted:
    """What the server counted for one key."""

    requests: int = 0
    """All that came in, refused ones too."""
    answered: int = 0
    """Whole answers."""
    input_tokens: int = 0
    """Of whole answers; so are the next."""
    output_tokens: int = 0


@dataclass
class OpenAIServer(Serving):
    """The server. Starts on entering the context, on a free port of 127.0.0.1 unless one is given."""

    brain: Brain | None = None
    models: tuple[str, ...] = ("gpt-double", "gpt-double-mini")
    keys: set[str] | None = None
    """Keys that are valid; None: every one."""
    windows: dict[str, int] = field(default_factory=dict[str, int])
    """Model -> tokens it takes; others take everything."""
    rpm: int | None = None
    """Requests that a key may send in `window`, as a sliding log; more are refused with 429."""
    window: float = 60.0
    retry_after: str | None = None
    """The header's text under the failure `http-429`."""
    error: str = "The server had an error while processing your request"
    port: int = 0
    now: Callable[[], float] = time.monotonic
    counted: dict[str, Counted] = field(default_factory=dict[str, Counted])
    """Key -> what was counted for it."""
    arrivals: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    """Key -> when each request came in, by `now`."""
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    failures: list[_Failure] = field(default_factory=list[_Failure])
    paths: list[str] = field(default_factory=list[str])
    """The path of every request, with its host where it came as to a proxy."""
    disconnects: int = 0
    weather: Weather | None = None
    exchanges: list[Exchange] = field(default_factory=list[Exchange])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def fail(
        self, name: FailureName, *, times: int | None = None, after: int = 0, key: str | None = None
    ) -> None:
        """Switch a failure on, for `times` requests (None: all) after the next `after`, of one key."""
        assert name in FAILURES, name
        self.failures.append(_Failure(name, times, after, key))

    def heal(self) -> None:
        """Switch every failure off."""
        self.failures.clear()

    def most_in_a_window(self, key: str) -> int:
        """The most requests of a key that came in within any one window."""
        times = sorted(self.arrivals.get(key, []))
        most = first = 0
        for last, at in enumerate(times):
            while at - times[first] >= self.window:
                first += 1
            most = max(most, last - first + 1)
        return most

    def arrive(self, key: str, body: dict[str, Any]) -> tuple[set[str], bool]:
        """Count a request: its failures, and whether it is over the limit."""
        with self.lock:
            now = self.now()
            times = self.arrivals.setdefault(key, [])
            over = self.rpm is not None and sum(now - at < self.window for at in times) >= self.rpm
            times.append(now)
            self.requests.append(body)
            self.counted.setdefault(key, Counted()).requests += 1
            failing: set[str] = set() if self.weather is None else self.weather(key, body)
            for failure in self.failures:
                if failure.key not in (None, key):
                    continue
                if failure.after:
                    failure.after -= 1
                elif failure.times != 0:
                    failing.add(failure.name)
                    if failure.times:
                        failure.times -= 1
            return failing, over

    def charge(self, key: str, usage: dict[str, int]) -> None:
        """A whole answer went out."""
        with self.lock:
            counted = self.counted[key]
            counted.answered += 1
            counted.input_tokens += usage["prompt_tokens"]
            counted.output_tokens += usage["completion_tokens"]


class _Handler(Handler):
    @property
    def double(self) -> OpenAIServer:
        return cast(OpenAIServer, self.server.double)

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._json({"object": "list", "data": [{"id": name} for name in self.double.models]})
        else:
            self._error(404, "not found", "invalid_request_error", None)

    def do_POST(self) -> None:
        body = self.body()
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.double.paths.append(self.path)
        failing, over = self.double.arrive(key, body)
        self.exchange = Exchange(key, body, failing)
        self.double.exchanges.append(self.exchange)
        # A client that takes this server for its proxy sends the whole address.
        if urlsplit(self.path).path != "/v1/chat/completions":
            return self._error(404, f"no {self.path}", "invalid_request_error", None)
        if self._breaks(failing) or self._refuses(key, body, failing, over):
            return None
        return self._answer(key, body, failing)

    def _breaks(self, failing: set[str]) -> bool:
        """Whether the connection is all that the client gets."""
        if "reset" in failing:
            self.reset()
        elif "hang" in failing:
            self.hang()
        elif "redirect" in failing:
            self.send_response(307)
            self.send_header("Location", "http://127.0.0.1:1/v1/chat/completions")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            return False
        return True

    def _refuses(self, key: str, body: dict[str, Any], failing: set[str], over: bool) -> bool:
        double, model = self.double, str(body.get("model"))
        known = double.keys is None or key in double.keys
        read = _tokens(body)
        if not known or "http-401" in failing:
            # As the real one does: with a part of the key.
            told = f"Incorrect API key provided: {key}. You can find your API key in your account."
            self._error(401, told, "invalid_request_error", "invalid_api_key")
        elif "http-403" in failing:
            self._error(403, "Your account may not use this", "permission_error", None)
        elif "no-credit" in failing:
            told = "You exceeded your current quota, please check your plan and billing details."
            self._error(429, told, "insufficient_quota", "insufficient_quota")
        elif over or "http-429" in failing:
            headers = {} if double.retry_after is None else {"Retry-After": double.retry_after}
            self._error(429, "Rate limit reached for requests", "requests", "rate_limit_exceeded", headers)
        elif model not in double.models or "http-404" in failing:
            told = f"The model `{model}` does not exist or you do not have access to it."
            self._error(404, told, "invalid_request_error", "model_not_found")
        elif "overflow" in failing or read > double.windows.get(model, 10**9):
            told = f"This model's maximum context length is {double.windows.get(model)} tokens."
            self._error(400, told, "invalid_request_error", "context_length_exceeded")
        elif "http-400" in failing:
            self._error(400, "Unsupported parameter", "invalid_request_error", "unsupported_parameter")
        elif hit := failing & {"http-500", "http-503", "http-529"}:
            self._error(int(min(hit)[-3:]), double.error, "server_error", None)
        elif "html" in failing:
            page = b"<html><body>502 Bad Gateway</body></html>"
            self.send(page, "text/html")
        else:
            return False
        return True

    def _answer(self, key: str, body: dict[str, Any], failing: set[str]) -> None:
        message, reason = self._message(body, failing)
        words = pieces(message["content"])
        most = body.get("max_tokens") or body.get("max_completion_tokens")
        if most is not None and most < len(words):
            words, reason = words[:most], "length"
        if "length" in failing:
            words, reason = words[: max(1, len(words) // 2)], "length"
        usage = {
            "prompt_tokens": _tokens(body),
            "completion_tokens": len(words) + 8 * len(message.get("tool_calls") or ()),
        }
        usage["total_tokens"] = sum(usage.values())
        head = {"id": "chatcmpl-1", "created": 1_800_000_000, "model": body["model"]}
        if not body.get("stream"):
            message["content"] = "".join(words)
            choice = {"index": 0, "message": message, "finish_reason": reason}
            self._charge(key, usage)
            return self._json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
        self.stream("text/event-stream; charset=utf-8")
        head["object"] = "chat.completion.chunk"
        wants_usage = (body.get("stream_options") or {}).get("include_usage")
        broken = failing & {"cut", "cut-clean", "bad-json", "error-event", "hang-after"}
        try:
            for event in self._events(head, message, words, reason, usage if wants_usage else None, failing):
                self.chunk(f"data: {event}\n\n".encode())
            if "hang-after" in failing:
                return self.hang()
            if not broken:
                self._charge(key, usage)
                self.chunk(b"data: [DONE]\n\n")
            if "cut" in failing:
                self.close_connection = True
                return None
            self.chunk(b"")
        except OSError:
            self.given_up()
        return None

    def _charge(self, key: str, usage: dict[str, int]) -> None:
        self.exchange.whole = True
        self.exchange.input_tokens = usage["prompt_tokens"]
        self.exchange.output_tokens = usage["completion_tokens"]
        self.double.charge(key, usage)

    def _events(
        self,
        head: dict[str, Any],
        message: dict[str, Any],
        words: list[str],
        reason: str,
        usage: dict[str, int] | None,
        failing: set[str],
    ) -> Iterator[str]:
        def event(delta: dict[str, Any], finish: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            so_far = {"usage": usage} if "usage-so-far" in failing else {}
            return json.dumps({**head, "choices": [choice], **so_far})

        yield event({"role": "assistant", "content": ""})
        if "repeat-call" in failing:
            function = {"name": "write_file", "arguments": '{"text": "'}
            yield event({"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": function}]})
        while "repeat-call" in failing:
            yield event({"tool_calls": [{"index": 0, "function": {"arguments": ENDLESS}}]})
        while "repeat" in failing:
            self.exchange.said += ENDLESS
            yield event({"content": ENDLESS})
        broken = failing & {"cut", "cut-clean", "bad-json", "error-event", "hang-after"}
        for word in words[: max(1, len(words) // 2)] if broken else words:
            self.exchange.said += word
            yield event({"content": word})
        if "bad-json" in failing:
            yield '{"id": "chatcmpl-1", "choi'
        if "error-event" in failing:
            yield json.dumps({"error": {"message": "The server is overloaded", "type": "server_error"}})
        if broken:
            return
        for number, call in enumerate(message.get("tool_calls") or ()):
            function = call["function"]
            part = {"index": number, "id": call["id"], "type": "function"}
            yield event({"tool_calls": [{**part, "function": {"name": function["name"], "arguments": ""}}]})
            text = function["arguments"]
            for at in range(0, len(text), 7):
                piece = {"index": number, "function": {"arguments": text[at : at + 7]}}
                yield event({"tool_calls": [piece]})
        yield event({}, reason)
        if usage is not None:
            yield json.dumps({**head, "choices": [], "usage": usage})

    def _message(self, body: dict[str, Any], failing: set[str]) -> tuple[dict[str, Any], str]:
        """The message that the model gives, in the shape that `response_format` forces on it."""
        told = body.get("response_format") or {}
        wanted = (told.get("json_schema") or {}).get("schema")
        tools = body.get("tools") or []
        said = (
            self.double.brain(body["messages"], body, wanted, tools) if self.double.brain else "Good morning."
        )
        message: dict[str, Any] = {"content": said} if isinstance(said, str) else dict(said)
        message["role"] = "assistant"
        message.setdefault("content", "")
        if isinstance(wanted, dict):
            message["content"] = forced(message["content"], wanted)
        if "empty" in failing:
            message = {"role": "assistant", "content": ""}
        calls = message.get("tool_calls") or []
        for number, call in enumerate(calls):
            arguments = call["function"]["arguments"]
            call.update(id=call.get("id") or f"call_{number}", type="function")
            if not isinstance(arguments, str):
                call["function"]["arguments"] = json.dumps(arguments)
        reason = "content_filter" if "filter" in failing else "tool_calls" if calls else "stop"
        return message, reason

    def _error(
        self, status: int, told: str, kind: str, code: str | None, headers: dict[str, str] | None = None
    ) -> None:
        self._json({"error": {"message": told, "type": kind, "param": None, "code": code}}, status, headers)

    def _json(self, value: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send(json.dumps(value).encode(), "application/json", status, headers)


OpenAIServer.handler = _Handler


def _tokens(body: dict[str, Any]) -> int:
    """Tokens of a prompt, four characters each."""
    return sum(math.ceil(len(str(message.get("content") or "")) / 4) for message in body.get("messages", []))


def main() -> None:
    parser = arguments(__doc__, FAILURES)
    parser.add_argument("--key", action="append", help="a key that is valid; without one, every key is")
    given = parser.parse_args()
    keys = set(given.key) if given.key else None
    with OpenAIServer(brain=brain_of(given), port=given.port, keys=keys) as server:
        until_interrupted(server, server.url, given, FAILURES)


if __name__ == "__main__":
    main()
