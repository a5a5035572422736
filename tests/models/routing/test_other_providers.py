"""Anthropic and Gemini through their own libraries, against a server of a little of their protocols."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from models.errors import ModelFailure
from tests.models.calling import say
from tests.models.routing.conftest import OpenCloud

pytestmark = [
    # Their libraries keep connections for the life of the process, and warn of their own ways.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

_ANTHROPIC: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "c",
     "content": [], "stop_reason": None, "stop_sequence": None,
     "usage": {"input_tokens": 4, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Good mor"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ning."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
     "usage": {"input_tokens": 4, "output_tokens": 4}},
    {"type": "message_stop"},
]  # fmt: skip
_USAGE = {"promptTokenCount": 4, "candidatesTokenCount": 4, "totalTokenCount": 8}
_GEMINI: list[dict[str, Any]] = [
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "Good mor"}]}, "index": 0}]},
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "ning."}]}, "index": 0,
     "finishReason": "STOP"}], "usageMetadata": _USAGE},
]  # fmt: skip
EVENTS = {"anthropic": _ANTHROPIC, "gemini": _GEMINI}


@contextmanager
def provider(kind: str, statuses: list[int]) -> Iterator[tuple[str, list[str]]]:
    """A server that answers with these statuses first; its address, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(self.path)
            status = statuses.pop(0) if statuses else 200
            self.send_response(status)
            if status != 200:
                told = {"type": "error", "error": {"type": "x", "message": f"status {status}", "code": status,
                                                   "status": "RESOURCE_EXHAUSTED"}}  # fmt: skip
                payload = json.dumps(told).encode()
                self.send_header("Content-Type", "application/json")
                self.send_header("Retry-After", "0")
            else:
                lines = [
                    (f"event: {event['type']}\n" if "type" in event else "")
                    + f"data: {json.dumps(event)}\n\n"
                    for event in EVENTS[kind]
                ]
                payload = "".join(lines).encode()
                self.send_header("Content-Type", "text/event-stream")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["anthropic", "gemini"])
@pytest.mark.parametrize("statuses", [[], [429], [529], [500, 429]])
async def test_another_provider_answers_after_what_passes(
    cloud: OpenCloud, kind: str, statuses: list[int]
) -> None:
    with provider(kind, list(statuses)) as (url, asked):
        models = await cloud(accounts={"x": {"provider": kind, "base_url": url}})
        reply = await say(models)
        assert (reply.text, reply.provider, reply.input_tokens, reply.output_tokens) == (
            "Good morning.", kind, 4, 4,
        )  # fmt: skip
        assert len(asked) == len(statuses) + 1, "the library itself tries nothing again"


@pytest.mark.parametrize("kind", ["anthropic", "gemini"])
async def test_another_providers_refused_key_takes_its_account_out(cloud: OpenCloud, kind: str) -> None:
    with provider(kind, [401, 401]) as (url, asked):
        models = await cloud(
            accounts={"x": {"provider": kind, "base_url": url}}, limits={"patience_seconds": 0}
        )
        with pytest.raises(ModelFailure, match="key refused"):
            await say(models)
        assert len(asked) == 1
