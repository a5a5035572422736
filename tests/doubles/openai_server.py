"""A server that speaks OpenAI's chat completions and fails as such servers fail, one failure at a time.

    python -m tests.doubles.openai_server --port 8000 --fail http-529:2 --key sk-double-1

It has keys, each with its own limits and its own count; streaming as server-sent events with usage, tool
calls, `response_format`. What it answers comes from the same brains as the Ollama double's.
"""

import argparse
import contextlib
import json
import math
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from tests.doubles.exchange import Exchange, Weather
from tests.doubles.schema import example, matches

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
    "redirect",  # to somewhere else
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
class OpenAIServer:
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

    def __enter__(self) -> "OpenAIServer":
        self._lock = threading.Lock()
        self.waker, self._wake = socket.socketpair()
        self._http = _Server(("127.0.0.1", self.port), self)
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.close()  # whoever hangs sees it
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self.waker.close()

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
        with self._lock:
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
        with self._lock:
            counted = self.counted[key]
            counted.answered += 1
            counted.input_tokens += usage["prompt_tokens"]
            counted.output_tokens += usage["completion_tokens"]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], double: OpenAIServer) -> None:
        self.double = double
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hangs up is a part of the play


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    @property
    def double(self) -> OpenAIServer:
        return self.server.double

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._json({"object": "list", "data": [{"id": name} for name in self.double.models]})
        else:
            self._error(404, "not found", "invalid_request_error", None)

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(
            self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}"
        )
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
            # Lingering for zero seconds turns the close into a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        elif "hang" in failing:
            self._hang()
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
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
        else:
            return False
        return True

    def _answer(self, key: str, body: dict[str, Any], failing: set[str]) -> None:
        message, reason = self._message(body, failing)
        words = [message["content"][at : at + 4] for at in range(0, len(message["content"]), 4)]
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
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        head["object"] = "chat.completion.chunk"
        wants_usage = (body.get("stream_options") or {}).get("include_usage")
        broken = failing & {"cut", "cut-clean", "bad-json", "error-event", "hang-after"}
        try:
            for event in self._events(head, message, words, reason, usage if wants_usage else None, failing):
                self._chunk(event)
            if "hang-after" in failing:
                return self._hang()
            if not broken:
                self._charge(key, usage)
                self._chunk("[DONE]")
            if "cut" in failing:
                self.close_connection = True
                return None
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.double.disconnects += 1
            self.close_connection = True
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
            return json.dumps({**head, "choices": [choice]})

        yield event({"role": "assistant", "content": ""})
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
        if isinstance(wanted, dict) and not _is_json(message["content"], wanted):
            message["content"] = json.dumps(example(wanted))
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

    def _hang(self) -> None:
        """Say nothing until the client or the double hangs up."""
        ready, _, _ = select.select([self.connection, self.double.waker], [], [])
        if self.connection in ready:
            with contextlib.suppress(OSError):
                if not self.connection.recv(1, socket.MSG_PEEK):
                    self.double.disconnects += 1
        self.close_connection = True

    def _chunk(self, data: str) -> None:
        line = f"data: {data}\n\n".encode()
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()

    def _error(
        self, status: int, told: str, kind: str, code: str | None, headers: dict[str, str] | None = None
    ) -> None:
        self._json({"error": {"message": told, "type": kind, "param": None, "code": code}}, status, headers)

    def _json(self, value: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> None:
        payload = json.dumps(value).encode()
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)


def _tokens(body: dict[str, Any]) -> int:
    """Tokens of a prompt, four characters each."""
    return sum(math.ceil(len(str(message.get("content") or "")) / 4) for message in body.get("messages", []))


def _is_json(text: str, schema: dict[str, Any]) -> bool:
    try:
        return matches(json.loads(text), schema)
    except ValueError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--brain", choices=["greeting", "offline"], default="greeting")
    parser.add_argument("--key", action="append", help="a key that is valid; without one, every key is")
    parser.add_argument("--fail", action="append", default=[], metavar="NAME[:TIMES[:AFTER]]",
                        help=f"one of {', '.join(FAILURES)}")  # fmt: skip
    given = parser.parse_args()
    brain: Brain | None = None
    if given.brain == "offline":
        from tests.doubles.brains import offline_brain

        brain = offline_brain()
    with OpenAIServer(brain=brain, port=given.port, keys=set(given.key) if given.key else None) as server:
        for failure in given.fail:
            name, *numbers = failure.split(":")
            if name not in FAILURES:
                parser.error(f"no failure {name!r}; there are {', '.join(FAILURES)}")
            times, after = [int(number) for number in (*numbers, "0", "0")[:2]]
            server.fail(name, times=times or None, after=after)
        print(server.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
